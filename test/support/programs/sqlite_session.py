"""A write transaction that stays open: sqlite_session.py FILE PORT. GET /begin?N begins one and puts N and a large blob into the table,
/commit commits, /sum answers what the connection itself sees. One connection a request."""
import http.server
import sqlite3
import sys

path, port = sys.argv[1:3]
connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE IF NOT EXISTS ledger(v INTEGER PRIMARY KEY, body BLOB)")


def order(path):
    name, _, argument = path.lstrip("/").partition("?")
    if name == "begin":
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO ledger VALUES (?, randomblob(400000))", (int(argument),))
        return "begun"
    if name == "commit":
        connection.execute("COMMIT")
        return "committed"
    if name == "sum":
        return str(connection.execute("SELECT coalesce(sum(v), 0) FROM ledger").fetchone()[0])
    raise ValueError(path)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, order(self.path)
        except Exception as error:  # told to the client, whose test then fails
            status, text = 500, repr(error)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(http.server.HTTPServer):
    allow_reuse_address = True


with Server(("127.0.0.1", int(port)), Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
