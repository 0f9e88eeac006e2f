"""A server whose clients are outside the application: outside_server.py PORT GO.

It accepts four connections, each of which begins with a letter:
  a  its client sends more, which waits here unread, and reads little of what this sends, as much as the buffers take
  b  its client has shut its side down
  c  this side is shut down
  d  as a, the bytes sent by a buffer of a size that the program has chosen
Then it says `ready`, waits until the file GO is there, reads all of each until the end, and answers with what it has got. What it sends over
a and d is the pattern, so that the client can tell the place of each byte.
"""
import hashlib
import os
import select
import socket
import sys
import time

port, go = int(sys.argv[1]), sys.argv[2]


def pattern(start, count):
    return b"".join(b"%07d\n" % i for i in range(start // 8, (start + count) // 8 + 2))[start % 8 :][:count]


def fill(connection):
    connection.setblocking(False)
    sent = 0
    try:
        while True:
            sent += connection.send(pattern(sent, 50000))
    except BlockingIOError:
        connection.setblocking(True)
        return sent


def receive_all(connection):
    digest, count = hashlib.sha256(), 0
    while True:
        data = connection.recv(65536)
        if not data:
            return b"%d %s" % (count, digest.hexdigest().encode())
        digest.update(data)
        count += len(data)


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen(8)
print("listening", flush=True)
connections = {}
while len(connections) < 4:
    connection, _ = listener.accept()
    connections[connection.recv(1)] = connection
a, b, c, d = (connections[name] for name in (b"a", b"b", b"c", b"d"))
a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
d.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 300000)
sent = {a: fill(a), d: fill(d)}
end = select.poll()
end.register(b, select.POLLRDHUP)
assert end.poll(5000)
c.sendall(b"words")
c.shutdown(socket.SHUT_WR)
for connection in (a, d):
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    assert waiting.poll(5000)
names = [(connection.getsockname(), connection.getpeername()) for connection in (a, b, c, d)]
print("ready", flush=True)

while not os.path.exists(go):
    time.sleep(0.02)

assert names == [(connection.getsockname(), connection.getpeername()) for connection in (a, b, c, d)]
assert a.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
assert a.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
assert d.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 600000
for connection in (a, d):
    for _ in range(4):
        connection.sendall(pattern(sent[connection], 25000))
        sent[connection] += 25000
    got = receive_all(connection)
    connection.sendall(b"\n%d\n%s" % (sent[connection], got))
    connection.close()
got = receive_all(b)
b.sendall(got)
b.close()
print("c", receive_all(c).decode(), flush=True)
c.close()
# New clients are served as before.
connection, _ = listener.accept()
assert connection.recv(1) == b"n"
connection.sendall(b"welcome")
connection.close()
print("PASS", flush=True)
