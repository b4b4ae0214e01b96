"""Prints details of networks as ipaddress computes them, one network per line."""
import ipaddress
import random

ADDRESSES = [
    "0.0.0.0", "255.255.255.255", "10.0.0.1", "127.255.0.1", "128.0.0.0",
    "172.16.254.3", "192.168.1.130", "224.0.0.251",
    "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::ff00:42:8329",
    "fe80::1:0:0:1", "1:0:0:2::3", "8000::", "ff02::fb", "2001:db8:0:1:1:1:1:1",
]

# Addresses for which special rules apply.
ADDRESSES += ["1.2.3.4", "255.255.255.254", "::", "::ffff:10.1.2.3", "64:ff9b::1.2.3.4", "2002:a01:203::1"]

random.seed(1)
ADDRESSES += [str(ipaddress.IPv4Address(random.getrandbits(32))) for _ in range(8)]
ADDRESSES += [str(ipaddress.IPv6Address(random.getrandbits(128))) for _ in range(8)]



def shown(address):
    """Format by RFC 5952, a v4-mapped address with a dotted end."""
    mapped = getattr(address, "ipv4_mapped", None)
    return f"::ffff:{mapped}" if mapped is not None else str(address)


def shown_net(net):
    return f"{shown(net.network_address)}/{net.prefixlen}"


for text in ADDRESSES:
    address = ipaddress.ip_address(text)
    width = address.max_prefixlen
    for length in range(width + 1):
        net = ipaddress.ip_network(f"{text}/{length}", strict=False)
        first, last = net[0], net[-1]
        if address.version == 4 and length < 31:
            broadcast, low, high = shown(last), first + 1, last - 1
            usable = net.num_addresses - 2
        else:
            broadcast, low, high = "-", first, last
            usable = net.num_addresses
        # An IPv6 mask never has a dotted end, because it is not an address.
        masks = [str(net.netmask), str(net.hostmask)]
        print(
            f"{text}/{length}", shown_net(net), *masks, broadcast, shown(low), shown(high),
            shown(first), shown(last), net.num_addresses, usable,
            format(int(address), f"0{width // 4}x"), int(address), address.exploded, sep="\t",
        )
