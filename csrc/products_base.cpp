// The dot products for any processor.
#define SK_ISA base
#define SK_LANES 2
#include "products.inc"
