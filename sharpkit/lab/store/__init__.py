"""Where finished runs are kept, one folder for any number of processes."""

from sharpkit.lab.store.errors import StoreError
from sharpkit.lab.store.run import Run
from sharpkit.lab.store.sink import StoreSink
from sharpkit.lab.store.store import Store

__all__ = ["Run", "Store", "StoreError", "StoreSink"]
