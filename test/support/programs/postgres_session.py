"""Postgres and its clients as one application: postgres_session.py BINARIES DATA SOCKETS PORT.

Starts a server on a UNIX socket, a psql that holds a transaction open and, when asked, pgbench. Orders come as GET requests to PORT, one
connection each, so that nothing outside holds a connection at a checkpoint:

    /begin?N    psql begins a transaction, puts N into the ledger and leaves it open
    /commit     the transaction is committed
    /load       pgbench starts, and goes on until
    /unload     it is ended
    /quit       the server shuts down, and removes its shared memory
"""
import http.server
import os
import signal
import subprocess
import sys
import time

binaries, data, sockets, port = sys.argv[1:5]


def program(name, *words):
    return [os.path.join(binaries, name), *words]


log = open(os.path.join(sockets, "server.log"), "ab")
server = subprocess.Popen(program("postgres", "-D", data, "-k", sockets, "-c", "listen_addresses="), stderr=log)
for _ in range(600):
    if subprocess.call(program("pg_isready", "-q", "-h", sockets)) == 0:
        break
    time.sleep(0.05)

psql = subprocess.Popen(
    program("psql", "-X", "-q", "-A", "-t", "-h", sockets, "bench"),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    bufsize=1,
)
bench = None


def ask(statements, mark):
    psql.stdin.write(f"{statements}\nSELECT '{mark}';\n")
    psql.stdin.flush()
    for line in psql.stdout:
        if line.strip() == mark:
            return mark
    raise RuntimeError("psql has ended")


def order(path):
    global bench
    name, _, argument = path.lstrip("/").partition("?")
    if name == "begin":
        return ask(f"BEGIN; INSERT INTO ledger VALUES ({int(argument)});", f"begun {argument}")
    if name == "commit":
        return ask("COMMIT;", "committed")
    if name == "load":
        bench = subprocess.Popen(
            program("pgbench", "-n", "-c", "2", "-T", "100000", "-h", sockets, "bench"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return "loading"
    if name == "unload":
        bench.send_signal(signal.SIGINT)
        return f"pgbench ended {bench.wait(20)}"
    if name == "quit":
        psql.stdin.close()
        psql.wait(20)
        server.send_signal(signal.SIGINT)
        return f"the server ended {server.wait(30)}"
    raise ValueError(path)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, order(self.path)
        except Exception as error:  # told to the client, whose test then fails
            status, text = 500, repr(error)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.HTTPServer):
    allow_reuse_address = True


with Server(("127.0.0.1", int(port)), Handler) as control:
    print("listening", flush=True)
    control.serve_forever()
