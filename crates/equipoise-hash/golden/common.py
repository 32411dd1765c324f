"""What the golden scripts share: keys, pool shapes, the vector file, a client, and starting a server.

Only the standard library. A proxy serves its own backends, so nothing else has to be started.
"""

import argparse
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
LISTEN = 20900  # the proxy listens here; backends on the 64 ports from BASE on
BASE = 21100
KEYS = 10_000
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MASK = (1 << 64) - 1


# --- Keys: made by rule, so they need not be stored. tests/golden.rs makes the same ones. ---


def splitmix(state):
    """One step of SplitMix64: the new state and a number."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def text_key(i):
    """Rule `text`: what may stand in a header. Short, long, UTF-8, percent signs, odd bytes.

    No comma, since HAProxy takes a header apart there, and no blank at either end.
    """
    _, r = splitmix(i)
    kind = i % 8
    if kind == 0:
        return b"%d" % i
    if kind == 1:
        return b"user-%d" % i
    if kind == 2:
        return b"/path/%d/index.html?id=%d&q=a%%20b%%2C" % (i * i, i)
    if kind == 3:
        return ("ключ-%d-日本語" % i).encode()
    if kind == 4:
        return (b"%x." % i) * (i % 97 + 20)
    if kind == 5:
        allowed = [b for b in range(0x21, 0x100) if b not in (0x2C, 0x7F)]
        state, out = r, bytearray()
        for _ in range(r % 40 + 1):
            state, z = splitmix(state)
            out.append(allowed[z % len(allowed)])
        return bytes(out)
    if kind == 6:
        return b"10.%d.%d.%d" % (r & 255, r >> 8 & 255, r >> 16 & 255)
    return b"%016x" % r


def address_key(i):
    """Rule `address`: IPv4 for even numbers, IPv6 for odd ones; the text of it."""
    state, r = splitmix(i)
    if i % 2 == 0:
        return socket.inet_ntop(socket.AF_INET, (r >> 32).to_bytes(4, "big")).encode()
    _, low = splitmix(state)
    return socket.inet_ntop(socket.AF_INET6, (r << 64 | low).to_bytes(16, "big")).encode()


def path_key(i):
    """Rule `path`: a slash and the text key, percent-encoded but for letters, digits and `-._~/?=`."""
    plain = b"-._~/?="
    parts = [b"%c" % b if chr(b).isascii() and chr(b).isalnum() or b in plain else b"%%%02X" % b for b in text_key(i)]
    return b"/" + b"".join(parts)


RULES = {"text": text_key, "address": address_key, "path": path_key}


# --- Pool shapes ---


class Case:
    """One pool in one mode: what the server is configured with, and what it answered."""

    def __init__(self, mode, shape, names, weights=None, down=(), rule="text", picks=1, param="", only=""):
        self.mode, self.shape, self.rule, self.picks, self.param = mode, shape, rule, picks, param
        self.only = only  # which version's answers are recorded, where versions differ
        self.names, self.down = list(names), tuple(down)
        self.weights = list(weights or [1] * len(self.names))
        self.config = ""  # the line that chooses the mode, as the real server reads it
        self.answers = None

    def title(self):
        return " ".join([self.mode, self.shape] + ([self.param] if self.param else []))

    def keys(self, count=KEYS):
        return [RULES[self.rule](i) for i in range(count)]


def ports(n):
    """n names with one address and n ports."""
    return ["127.0.0.1:%d" % (BASE + i) for i in range(n)]


def hosts(n):
    """n names with n addresses and one port."""
    return ["127.0.1.%d:%d" % (i + 1, BASE) for i in range(n)]


def shapes(names=ports, others=("hosts-5", hosts(5))):
    """(shape, names, weights, down): the pools that every mode is tried with."""
    return [
        ("equal-2", names(2), None, ()),
        ("equal-3", names(3), None, ()),
        ("equal-10", names(10), None, ()),
        ("equal-50", names(50), None, ()),
        (*others, None, ()),
        ("weights-1-2-3-4", names(4), [1, 2, 3, 4], ()),
        ("weights-5-1-1", names(3), [5, 1, 1], ()),
        ("weights-100-1-50", names(3), [100, 1, 50], ()),
        ("down-1-of-4", names(4), [1, 2, 3, 4], (1,)),
        ("down-2-of-10", names(10), None, (0, 7)),
    ]


FEW = ("equal-3", "equal-10", "weights-1-2-3-4")


# --- The vector file ---


GROUP = 6  # characters


def per_group(n):
    """How many answers, each below n, fit into a group of characters of six bits each."""
    each = 1
    while n ** (each + 1) <= 64**GROUP:
        each += 1
    return each


def pack(answers, n):
    """Groups of answers as one number to the base n each, the first answer its lowest digit; each number as
    six base-64 digits, the lowest first."""
    each, chars = per_group(n), []
    for start in range(0, len(answers), each):
        value = 0
        for answer in reversed(answers[start : start + each]):
            value = value * n + answer
        for _ in range(GROUP):
            value, digit = divmod(value, 64)
            chars.append(DIGITS[digit])
    return "".join(chars)


def render(case):
    lines = ["case " + case.title(), "config " + case.config]
    lines += ["only " + case.only] if case.only else []
    lines.append("names " + " ".join(case.names))
    lines.append("weights " + " ".join(map(str, case.weights)))
    lines.append("down " + " ".join(map(str, case.down)))
    lines.append("keys %s %d" % (case.rule, len(case.answers) // case.picks))
    lines.append("picks %d" % case.picks)
    text = pack(case.answers, len(case.names))
    lines += [text[i : i + 118] for i in range(0, len(text), 118)]
    return "\n".join(lines + ["end"])


def write(path, versions, cases):
    head = "# Whom the real server chose. Made by %s: do not edit. README.md says how to read this.\n"
    body = head % (path.stem + ".py") + "".join("server %s\n" % v for v in versions)
    path.write_text(body + "\n".join(map(render, cases)) + "\n")


def stored(path):
    """The text of each case in a vector file, by title."""
    if not path.exists():
        raise SystemExit("%s is missing: make it without --check" % path.name)
    cases, lines = {}, []
    for line in path.read_text().splitlines():
        if line.startswith("case "):
            lines = []
        lines.append(line)
        if line == "end":
            cases[lines[0][5:]] = lines
    return cases


def agrees(case, lines):
    """Whether the answers to the first keys are those in the file; the rest were not asked for."""
    body = [line for line in lines[1:-1] if line.split(" ")[0] not in FIELDS]
    n = len(case.names)
    # The last group on file may hold answers to keys that were not asked.
    whole = len(case.answers) // per_group(n) * per_group(n)
    return "config " + case.config in lines and "".join(body).startswith(pack(case.answers[:whole], n))


FIELDS = ("config", "only", "names", "weights", "down", "keys", "picks")


# --- The client ---


def ask(request, keys, answer, port=LISTEN, window=64):
    """Sends a pipelined request for each key and returns `answer(upstream)` of each response.

    `request` is the request line and headers, with %s where the key stands.
    """
    answers = []
    request += b"\r\nHost: golden\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(30)
        reader = sock.makefile("rb")
        for start in range(0, len(keys), window):
            batch = keys[start : start + window]
            sock.sendall(b"".join(request % key for key in batch))
            for key in batch:
                answers.append(answer(response(reader, key)))
    return answers


def response(reader, key):
    status = reader.readline()
    headers = {}
    while (line := reader.readline().strip()) :
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    if not status:
        raise SystemExit("the server closed the connection at key %r" % key)
    reader.read(int(headers.get(b"content-length", 0)))
    if b"x-upstream" not in headers:
        raise SystemExit("no answer to key %r: %r %r" % (key, status, headers))
    return headers[b"x-upstream"].decode()


# --- The server ---


class Server:
    """A real server, from start to stop, with a directory of its own."""

    def __init__(self, command, files, port=LISTEN):
        self.directory = tempfile.TemporaryDirectory(prefix="equipoise-golden-")
        os.chmod(self.directory.name, 0o755)
        for name, text in files.items():
            (pathlib.Path(self.directory.name) / name).write_text(text)
        self.log = open(os.path.join(self.directory.name, "log"), "w+b")
        self.process = subprocess.Popen(
            command, cwd=self.directory.name, stdout=self.log, stderr=self.log
        )
        self.port = port

    def __enter__(self):
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.log.seek(0)
        message = self.log.read().decode(errors="replace")
        self.__exit__()
        raise SystemExit("the server did not start:\n" + message[-4000:])

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.directory.cleanup()


def main(name, find, cases, drive):
    """The command line of a golden script.

    `find()` gives (binary, version) of each installed server; `cases()` the cases;
    `drive(binary, cases, keys)` fills in their answers.
    """
    parser = argparse.ArgumentParser(description="Golden vectors from the real %s." % name)
    parser.add_argument("--check", action="store_true", help="compare with the stored vectors instead of writing them")
    parser.add_argument("--keys", type=int, help="keys a case (default: 10000, with --check 1000)")
    parser.add_argument("--only", default="", help="only the cases whose title contains this")
    options = parser.parse_args()
    count = options.keys or (1000 if options.check else KEYS)
    path = HERE / (name + ".txt")
    servers = find()
    if not servers:
        sys.exit(0 if options.check and not os.environ.get("EQUIPOISE_REQUIRE_SERVERS") else 1)

    first = {}
    for binary, version in servers:
        chosen = [c for c in cases() if options.only in c.title() and c.only in version]
        began = time.monotonic()
        drive(binary, chosen, count)
        asked = sum(len(case.answers) // case.picks for case in chosen)
        print("%s: %d cases, %d keys, %.0f s" % (version, len(chosen), asked, time.monotonic() - began))
        if options.check:
            on_file = stored(path)
            wrong = [c.title() for c in chosen if not agrees(c, on_file.get(c.title(), []))]
        else:
            wrong = [c.title() for c in chosen if c.answers != first.setdefault(c.title(), c).answers]
        if wrong:
            sys.exit("%s answers differently: %s" % (version, ", ".join(wrong)))
    if options.check:
        print("%s: as stored" % name)
    elif options.only:
        sys.exit("nothing written: --only is for --check")
    else:
        write(path, [version for _, version in servers], first.values())
        print("%s: %d bytes" % (path.name, path.stat().st_size))


def which(*commands):
    """Those of the commands that are installed; says which are not."""
    found = {command: shutil.which(command) for command in commands}
    for command in commands:
        if not found[command]:
            print("%s: skipped: it is not installed (golden/README.md says how)" % command)
    return [path for path in found.values() if path]


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr
