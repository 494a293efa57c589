"""Prints what a step of Dagster takes: assets that do nothing, materialized in this process, instance in memory."""

import logging
import time

from dagster import AssetIn, asset, materialize


def chain(length):
    assets = []
    for number in range(length):
        # Each follows from the one before, as steps do.
        ins = {"before": AssetIn(f"a{number - 1}")} if number else {}

        if number:
            def work(before):
                return before
        else:
            def work():
                return 1

        assets.append(asset(name=f"a{number}", ins=ins)(work))
    return assets


def seconds(length):
    assets = chain(length)
    begun = time.perf_counter()
    assert materialize(assets, raise_on_error=True).success
    return time.perf_counter() - begun


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    seconds(2)
    few, many = seconds(10), seconds(210)
    print(f"{(many - few) / 200 * 1e6:.0f} µs a step; a run of 10 steps {few * 1e3:.0f} ms")
