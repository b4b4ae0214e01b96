"""Computes with sets of addresses, represented by Python's integers.

Reads the sets A and B, one network per line. Prints the name of each operation
on a line, followed by the lines of its result.
"""
import ipaddress
import sys


def read(path):
    with open(path, encoding="ascii") as lines:
        return [ipaddress.ip_network(line.strip(), strict=False) for line in lines]


def points(nets, version):
    """Where membership changes: a sorted list of (place, +1 or -1)."""
    return [
        edge
        for net in nets
        if net.version == version
        for edge in ((int(net[0]), 1), (int(net[-1]) + 1, -1))
    ]


def ranges(a, b, version, keep):
    """Maximal ranges of the addresses for which keep(in a, in b)."""
    edges = sorted(
        [(at, change, 0) for at, change in points(a, version)]
        + [(at, 0, change) for at, change in points(b, version)]
    )
    end = 1 << (32 if version == 4 else 128)
    in_a = in_b = 0
    start = 0 if keep(False, False) else None
    index = 0
    while index < len(edges):
        at = edges[index][0]
        while index < len(edges) and edges[index][0] == at:
            in_a += edges[index][1]
            in_b += edges[index][2]
            index += 1
        wanted = at < end and keep(in_a > 0, in_b > 0)
        if wanted and start is None:
            start = at
        elif not wanted and start is not None:
            if at > start:
                yield start, at - 1
            start = None
    if start is not None:
        yield start, end - 1


def networks(a, b, keep, versions=(4, 6)):
    for version in versions:
        kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        for first, last in ranges(a, b, version, keep):
            yield from ipaddress.summarize_address_range(kind(first), kind(last))


def main():
    a, b = read(sys.argv[1]), read(sys.argv[2])
    present = sorted({net.version for net in a})
    answers = {
        "aggregate": networks(a, [], lambda x, _: x),
        "subtract": networks(a, b, lambda x, y: x and not y),
        "intersect": networks(a, b, lambda x, y: x and y),
        "symdiff": networks(a, b, lambda x, y: x != y),
        "complement": networks(a, [], lambda x, _: not x, present),
        # An empty set has no family and one answer.
        "count": [
            sum(last - first + 1 for first, last in ranges(a, [], version, lambda x, _: x))
            for version in present
        ]
        or [0],
        "sort": sorted(a, key=lambda net: (net.version, int(net[0]), net.prefixlen)),
    }
    for name, answer in answers.items():
        print(name)
        for line in answer:
            print(line)


main()
