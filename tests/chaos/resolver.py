"""A name server that does as it is told, on a host of its own: resolver.py ADDRESS. On standard input, a line each:

    NAME ADDRESS            a name, and what it stands for
    answer | silent | missing | wrong
                            how the next questions are answered; each is confirmed by a line with the number of questions so far

`wrong`: by an address that nobody has.
"""
import os
import select
import socket
import struct
import sys

HEAD = struct.Struct(">HHHHHH")
NOBODY = "172.20.9.9"
A, IN, MISSING, ANSWER, TTL_S = 1, 1, 3, 0x8180, 1


def question(packet):
    """(name, type, where the question ends)"""
    labels, at = [], HEAD.size
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack_from(">H", packet, at + 1)[0], at + 5


def reply(packet, names, how):
    name, kind, end = question(packet)
    found = names.get(name) if how != "missing" else None
    address = (NOBODY if how == "wrong" else found) if found is not None and kind == A else None
    code = ANSWER | (MISSING if found is None else 0)
    head = HEAD.pack(struct.unpack_from(">H", packet)[0], code, 1, int(address is not None), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, A, IN, TTL_S, 4) + socket.inet_aton(address) if address is not None else b""
    return head + packet[HEAD.size:end] + record


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    names, how, asked, pending = {}, "answer", 0, b""
    server.settimeout(0.01)
    while True:
        data = os.read(0, 4096) if select.select([0], [], [], 0)[0] else None
        if data == b"":
            return
        *lines, pending = (pending + (data or b"")).split(b"\n")
        for line in lines:
            words = line.decode().split()
            if len(words) == 2:
                names[words[0]] = words[1]
            else:
                how = words[0]
                print(asked, flush=True)
        try:
            packet, sender = server.recvfrom(512)
        except TimeoutError:
            continue
        asked += 1
        if how != "silent":
            server.sendto(reply(packet, names, how), sender)


if __name__ == "__main__":
    main()
