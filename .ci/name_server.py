"""A name server for .ci/resolves-names: every name has the IPv4 address 127.0.0.1 and nothing else (RFC 1035)."""

import socket

HEADER_BYTES = 12
TYPE_A = b"\x00\x01"
# A pointer to the question's name, type A, class IN, 60 seconds, four bytes of address.
ANSWER = b"\xc0\x0c" + TYPE_A + b"\x00\x01" + b"\x00\x00\x00\x3c" + b"\x00\x04" + b"\x7f\x00\x00\x01"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, asker = server.recvfrom(512)
    end_of_name = query.index(b"\x00", HEADER_BYTES) + 1
    question = query[HEADER_BYTES : end_of_name + 4]
    is_address = query[end_of_name : end_of_name + 2] == TYPE_A
    flags = b"\x81\x80"  # a response, recursion desired and available, no error
    counts = b"\x00\x01" + bytes([0, is_address]) + b"\x00\x00\x00\x00"
    server.sendto(query[:2] + flags + counts + question + (ANSWER if is_address else b""), asker)
