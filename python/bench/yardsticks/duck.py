"""`duck.py GLOB SQL` runs a query over Parquet files and prints how long it took."""

import sys
import time

import duckdb

if __name__ == "__main__":
    begun = time.perf_counter()
    duckdb.execute(sys.argv[2].replace("$files", f"'{sys.argv[1]}'")).fetchall()
    print(f"{time.perf_counter() - begun:.3f}")
