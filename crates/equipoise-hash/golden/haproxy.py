#!/usr/bin/env python3
"""Golden vectors from the real HAProxy: `hash-type consistent`, with every hash function and modifier.

HAProxy hashes a server's id, not its address: the names in haproxy.txt are ids, and `-` where HAProxy gives one out.
"""

import re

import common
from common import BASE, Case, FEW, LISTEN

FUNCTIONS = ("sdbm", "djb2", "wt6", "crc32")


def numbered(n):
    """No ids: HAProxy gives out the positions, from 1 on."""
    return ["-"] * n


def cases():
    found = []
    shapes = common.shapes(numbered, ("ids-5", ["100", "7", "4095", "2", "65536"]))
    for function in FUNCTIONS:
        for modifier in ("", "avalanche"):
            for shape, ids, weights, down in shapes:
                if shape in FEW or (function, modifier) == ("sdbm", ""):
                    case = Case("hdr", shape, ids, weights, down, param="-".join([function, modifier]).strip("-"))
                    case.config = "balance hdr(X-Key); hash-type consistent %s %s" % (function, modifier)
                    found.append(case)
    for modifier in ("", "avalanche"):
        for shape, ids, weights, down in shapes:
            if shape in FEW or modifier:
                case = Case("source", shape, ids, weights, down, rule="address", param=modifier)
                case.config = "balance source; hash-type consistent sdbm " + modifier
                found.append(case)
    # Whom HAProxy gives which id, if some are taken.
    found.append(Case("hdr", "ids-mixed", ["3", "-", "-", "1", "-", "-"], param="sdbm"))
    found[-1].config = "balance hdr(X-Key); hash-type consistent sdbm"
    # The largest weight there is: the points of a server end where those of the next id begin.
    found.append(Case("hdr", "weights-256-255-1", numbered(3), [256, 255, 1], param="sdbm"))
    found[-1].config = "balance hdr(X-Key); hash-type consistent sdbm"
    # The other ways to say what is hashed hash its bytes in the same way. Where neither function nor modifier
    # is named, HAProxy takes sdbm with avalanche.
    for mode in ("uri whole", "url_param key", "hash req.hdr(X-Key)"):
        rule = "text" if "hdr" in mode else "path"
        found.append(Case(mode.split(" ")[0], "equal-10", numbered(10), rule=rule, param="sdbm-avalanche"))
        found[-1].config = "balance %s; hash-type consistent" % mode
    for case in found:
        case.config = case.config.strip()
    return found


def config(cases):
    backends = []
    for number, case in enumerate(cases):
        lines = ["backend b%d" % number] + ["  " + line for line in case.config.split("; ")]
        for i, (name, weight) in enumerate(zip(case.names, case.weights)):
            line = "  server s%d 127.0.0.1:%d weight %d" % (i, BASE + i, weight)
            line += " id %s" % name if name != "-" else ""
            lines.append(line + (" disabled" if i in case.down else ""))
        backends.append("\n".join(lines) + "\n")
    return """global
  maxconn 4000
  tune.bufsize 65536
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend all
  bind 127.0.0.1:%d
  # The client's address, which `balance source` hashes, comes from a header.
  http-request set-src hdr(X-Address) if { req.hdr(X-Address) -m found }
  http-response set-header X-Upstream %%[srv_name]
  use_backend b%%[req.hdr(X-Case)]
frontend backends
  bind 127.0.0.1:%d-%d
  http-request return status 204
%s""" % (LISTEN, BASE, BASE + 49, "".join(backends))


REQUESTS = {
    "hdr": b"GET / HTTP/1.1\r\nX-Case: %d\r\nX-Key: %%s",
    "hash": b"GET / HTTP/1.1\r\nX-Case: %d\r\nX-Key: %%s",
    "source": b"GET / HTTP/1.1\r\nX-Case: %d\r\nX-Address: %%s",
    "uri": b"GET %%s HTTP/1.1\r\nX-Case: %d",
    "url_param": b"GET /p?a=b&key=%%s&c=d HTTP/1.1\r\nX-Case: %d",
}


def drive(binary, cases, count):
    with common.Server([binary, "-db", "-f", "haproxy.cfg"], {"haproxy.cfg": config(cases)}):
        for number, case in enumerate(cases):
            index = {"s%d" % i: i for i in range(len(case.names))}
            case.answers = common.ask(REQUESTS[case.mode] % number, case.keys(count), index.__getitem__)


def find():
    found = []
    for binary in common.which("haproxy"):
        version = re.search(r"version (\S+)", common.output(binary, "-v"))
        found.append((binary, "HAProxy %s (Debian package)" % version.group(1)))
    return found


if __name__ == "__main__":
    common.main("haproxy", find, cases, drive)
