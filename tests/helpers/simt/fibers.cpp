// Runs the threads of a block as fibers on one thread, in a chosen order. What depends
// on the order, on shared memory that nobody wrote, or on threads that wait at
// different barriers, shows.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>

#include "simt.h"

thread_local simt::Index threadIdx, blockIdx, blockDim, gridDim;

// The linker's names for the ends of the shared memory of all kernels.
extern "C" unsigned char __start_simt_shared[], __stop_simt_shared[];

namespace {

constexpr std::size_t STACK = 64 << 10;
constexpr int DONE = 0;  // no barrier stands in line 0

struct Fiber {
  ucontext_t context;
  jmp_buf place;
  bool begun = false;
  int line = DONE;  // of the barrier where it waits
};

jmp_buf scheduler;
Fiber *running;
std::vector<Fiber> fibers;
std::vector<unsigned char> stacks;
std::function<void()> body;

// Stops the running fiber; comes back when it is resumed. jmp_buf without the signal
// mask: a switch without a system call.
void pause(int line) {
  running->line = line;
  if (_setjmp(running->place) == 0) _longjmp(scheduler, 1);
}

void fiber_main() {
  for (;;) {  // once for each block
    body();
    pause(DONE);
  }
}

__attribute__((noinline)) void resume(Fiber *fiber) {
  running = fiber;
  if (_setjmp(scheduler) != 0) return;
  if (fiber->begun) _longjmp(fiber->place, 1);
  fiber->begun = true;
  setcontext(&fiber->context);
}

void make_fibers(std::size_t count) {
  fibers = std::vector<Fiber>(count);
  stacks.resize(count * STACK);
  for (std::size_t i = 0; i < count; ++i) {
    ucontext_t &context = fibers[i].context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks.data() + i * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
  }
}

struct Order {
  std::string name;
  std::mt19937 random{7};

  std::vector<unsigned> next(unsigned count) {
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0u);
    if (name == "reverse") std::reverse(order.begin(), order.end());
    if (name == "shuffled") std::shuffle(order.begin(), order.end(), random);
    return order;
  }
};

// Runs all threads of one block from barrier to barrier.
void run_block(Order &order) {
  std::fill(__start_simt_shared, __stop_simt_shared, 0xFF);  // NaN, or all bits set
  const auto count = static_cast<unsigned>(fibers.size());
  do {
    for (const unsigned thread : order.next(count)) {
      threadIdx.x = thread;
      resume(&fibers[thread]);
    }
    for (const Fiber &fiber : fibers)
      if (fiber.line != fibers[0].line)
        throw std::runtime_error("threads wait at different barriers: lines " +
                                 std::to_string(fibers[0].line) + " and " +
                                 std::to_string(fiber.line) + " (0: at the end)");
  } while (fibers[0].line != DONE);
}

void launch(const char *name, unsigned grid, unsigned first, unsigned last,
            unsigned block, const simt::Argument *arguments, std::size_t count,
            const char *order_name) {
  const auto found = simt::kernels().find(name);
  if (found == simt::kernels().end()) throw std::invalid_argument("no such kernel");
  const simt::Kernel &kernel = found->second.at(0);
  kernel.check(arguments, count);
  body = [&] { kernel.run(arguments); };
  blockDim.x = block;
  gridDim.x = grid;
  make_fibers(block);
  Order order{order_name};
  for (const unsigned index : order.next(last - first)) {
    blockIdx.x = first + index;
    run_block(order);
  }
}

}  // namespace

void simt::barrier(int line) { pause(line); }

std::map<std::string, std::vector<simt::Kernel>> &simt::kernels() {
  static std::map<std::string, std::vector<Kernel>> all;
  return all;
}

// Returns null, or what went wrong. Runs blocks first to last - 1 of the grid.
extern "C" const char *simt_launch(const char *name, unsigned grid, unsigned first,
                                   unsigned last, unsigned block,
                                   const simt::Argument *arguments, std::size_t count,
                                   const char *order) {
  static std::string message;
  try {
    launch(name, grid, first, last, block, arguments, count, order);
  } catch (const std::exception &error) {
    message = std::string(name) + ": " + error.what();
    return message.c_str();
  }
  return nullptr;
}
