"""Original files over HTTP: from a server here, as they would come from the mirrors."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("pooch")

from sharpkit.lab.data import download as module
from sharpkit.lab.data.cifar import load_cifar10
from sharpkit.lab.data.download import DOWNLOADED, RELEASES, Release, download
from sharpkit.lab.data.source import Source
from sharpkit.lab.experiments.study import study


def idx(array):
    head = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


RANDOM = np.random.default_rng(0)
MNIST = {
    f"{part}-{kind}-ubyte.gz": idx(
        RANDOM.integers(0, 10, (count, 4, 3) if "3" in kind else count, np.uint8)
    )
    for part, count in (("train", 5), ("t10k", 3))
    for kind in ("images-idx3", "labels-idx1")
}


def archive():
    """Return a tar file as that of CIFAR-10 is, of few images."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for name in names:
            rows = RANDOM.integers(0, 10, (2, 3073), np.uint8).tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(rows)
            tar.addfile(info, io.BytesIO(rows))
    return packed.getvalue()


CIFAR = {"cifar-10-binary.tar.gz": archive()}


class Server(ThreadingHTTPServer):
    """A mirror at /good/; /wrong/ has other bytes, /cut/ ends early, /none/ nothing."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    def at(self, place):
        return f"http://127.0.0.1:{self.server_address[1]}/{place}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, place, name = self.path.split("/")
        self.server.asked.append((place, name))
        if place == "none":
            self.send_error(404)
            return
        content = (MNIST | CIFAR)[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if place == "cut":
            content = content[: len(content) // 2]
        self.wfile.write(content[::-1] if place == "wrong" else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "cache"))
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def publish(server, monkeypatch, *places, name="mnist", files=MNIST):
    sums = {file: hashlib.md5(data).hexdigest() for file, data in files.items()}
    mirrors = tuple(server.at(place) for place in places)
    monkeypatch.setitem(RELEASES, name, Release(mirrors, sums))


def test_files_are_fetched_once(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "good")
    found = download("mnist")
    assert found == tmp_path / "cache" / "mnist"
    assert {path.name: path.read_bytes() for path in found.iterdir()} == MNIST
    assert sorted(server.asked) == sorted(("good", name) for name in MNIST)
    download("mnist")
    assert len(server.asked) == len(MNIST)


def test_a_file_that_was_damaged_is_fetched_again(server, monkeypatch):
    publish(server, monkeypatch, "good")
    damaged = next(iter(download("mnist").iterdir()))
    damaged.write_bytes(b"not what it was")
    download("mnist")
    assert damaged.read_bytes() == MNIST[damaged.name]
    assert server.asked[len(MNIST) :] == [("good", damaged.name)]


@pytest.mark.parametrize("bad", ["none", "wrong", "cut"])
def test_the_next_mirror_is_tried(bad, server, monkeypatch):
    publish(server, monkeypatch, bad, "good")
    found = download("mnist")
    assert {path.name: path.read_bytes() for path in found.iterdir()} == MNIST
    assert {place for place, _ in server.asked} == {bad, "good"}


def test_all_that_failed_is_told(server, monkeypatch):
    publish(server, monkeypatch, "none", "wrong")
    with pytest.raises(OSError, match="is not to be had") as error:
        download("mnist")
    first, none, wrong, cure = str(error.value).splitlines()
    assert first.startswith("train-images-idx3-ubyte.gz is not")
    assert server.at("none") in none
    assert "404" in none
    assert server.at("wrong") in wrong
    assert "hash" in wrong
    assert cure == "fetch it by other means, and give its folder"


def test_archives_are_opened(server, monkeypatch):
    publish(server, monkeypatch, "good", name="cifar10", files=CIFAR)
    data = Source("cifar10", 0, 0, folder=DOWNLOADED).load()
    assert data.x_train.shape == (10, 3072)
    assert load_cifar10(download("cifar10")).x_test.shape == (2, 3072)
    assert len(server.asked) == 1


def test_a_study_says_that_its_data_are_downloaded(server, monkeypatch):
    publish(server, monkeypatch, "good")
    asked = study("F1", data="mnist", download=True)
    assert asked.source.folder == DOWNLOADED
    assert not server.asked  # not before it is needed
    with pytest.raises(ValueError, match="are both given; give one of them"):
        study("F1", data="mnist", download=True, folder="here")
    with pytest.raises(ValueError, match="'timit' cannot be downloaded"):
        study("F2", data="timit", download=True)
    with pytest.raises(ValueError, match="'glyphs' cannot be downloaded"):
        study("F1", download=True)


def test_every_sum_is_one():
    for release in RELEASES.values():
        assert all(mirror.startswith("https://") for mirror in release.mirrors)
        assert all(len(bytes.fromhex(each)) == 16 for each in release.files.values())
