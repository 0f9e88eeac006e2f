"""An HTTP server that counts its requests: python3 threads_server.py PORT [MEGABYTES].

Keeps MEGABYTES of bytearrays, a thread that ticks every 20 ms and one that waits on a condition. GET / answers
{count, uptime, ticks, woken}; /check adds a digest over the memory.
"""
import hashlib
import http.server
import json
import sys
import threading
import time

started = time.monotonic()
port = int(sys.argv[1])
megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 8
blocks = [bytes([i % 251]) * 99_991 + str(i).encode() for i in range(megabytes * 10)]
state = {"count": 0, "ticks": 0, "woken": 0}
condition = threading.Condition()


def tick():
    while True:
        time.sleep(0.02)
        state["ticks"] += 1


def wait():
    while True:
        with condition:
            condition.wait()
            state["woken"] += 1


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state["count"] += 1
        with condition:
            condition.notify()
        answer = dict(state, uptime=time.monotonic() - started)
        if self.path == "/check":
            digest = hashlib.sha256()
            for block in blocks:
                digest.update(block)
            answer["check"] = digest.hexdigest()
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.Thread(target=tick, daemon=True).start()
threading.Thread(target=wait, daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("listening", flush=True)
server.serve_forever()
