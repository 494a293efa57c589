"""Prints what a call of an empty function takes."""

import timeit


def step(n):
    return n + 1


if __name__ == "__main__":
    print(f"{min(timeit.repeat(lambda: step(1), number=1_000_000, repeat=3)) * 1000:.0f} ns")
