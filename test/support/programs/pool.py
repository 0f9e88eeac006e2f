"""A multiprocessing Pool at work: pool.py PORT. GET / answers {count, results, wrong}: how many results have come back, and how many were
not what they must be. The workers compute without a pause; tasks and results go through the Pool's pipes and locks."""
import hashlib
import http.server
import json
import multiprocessing
import sys
import threading


def task(n):
    digest = b"%d" % n
    for _ in range(2000):
        digest = hashlib.sha256(digest).digest()
    return n, digest.hex()


state = {"count": 0, "results": 0, "wrong": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state["count"] += 1
        body = json.dumps(state).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.HTTPServer):
    allow_reuse_address = True


class Bounded:
    """Numbers, never more than a few ahead of the results: Pool.imap would take all there are."""

    def __init__(self):
        self.next = 0

    def __iter__(self):
        return self

    def __next__(self):
        while self.next > state["results"] + 64:
            threading.Event().wait(0.002)
        self.next += 1
        return self.next - 1


def numbers_through(pool):
    expected = 0
    for n, digest in pool.imap(task, Bounded(), chunksize=1):
        if n != expected or (n % 97 == 0 and task(n)[1] != digest):
            state["wrong"] += 1
        expected += 1
        state["results"] = expected


if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        threading.Thread(target=numbers_through, args=(pool,), daemon=True).start()
        with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
            print("listening", flush=True)
            server.serve_forever()
