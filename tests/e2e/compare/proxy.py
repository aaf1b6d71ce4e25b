"""A proxy for HTTP/1.1 that remembers what went through it: requests in the order they began, with their answers. What does not begin as
HTTP/1.1 (gRPC) goes through unseen."""
import select
import socket
import threading

HEAD_BYTES_MAX = 65536


class Exchange:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.status, self.answer_headers, self.answer = None, [], b""
        self.ended_after = None  # how many requests had begun when it ended; None = it has not
        self.hung_up = False  # by the client


class Reader:
    """Heads and bodies from one socket."""

    def __init__(self, sock):
        self.socket, self.raw = sock, b""

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.raw += data

    def until(self, mark):
        while mark not in self.raw:
            if len(self.raw) > HEAD_BYTES_MAX:
                raise EOFError
            self.more()
        found, _, self.raw = self.raw.partition(mark)
        return found

    def exactly(self, count):
        while len(self.raw) < count:
            self.more()
        found, self.raw = self.raw[:count], self.raw[count:]
        return found

    def head(self):
        """(first line, [(name, value), ...])"""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return lines[0], [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]


def header(headers, name, default=None):
    return next((value for key, value in headers if key.lower() == name), default)


class Proxy:
    def __init__(self, listen, target):
        self.target, self.exchanges, self.lock = target, [], threading.Lock()
        self.server = socket.create_server(listen, backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def close(self):
        self.server.close()

    def serve(self, client):
        try:
            with client, socket.create_connection(self.target) as server:
                for sock in (client, server):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if client.recv(3, socket.MSG_PEEK) == b"PRI":
                    self.pass_on(client, server)
                    return
                self.exchange_all(client, server)
        except (OSError, EOFError):
            pass

    @staticmethod
    def pass_on(client, server):
        other = {client: server, server: client}
        while True:
            for sock in select.select([client, server], [], [])[0]:
                data = sock.recv(65536)
                if not data:
                    return
                other[sock].sendall(data)

    def exchange_all(self, client, server):
        requests, answers = Reader(client), Reader(server)
        while True:
            line, headers = requests.head()
            method, target, _ = line.split(" ")
            if header(headers, "expect"):
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                headers = [h for h in headers if h[0].lower() != "expect"]
            body = requests.exactly(int(header(headers, "content-length", 0)))
            exchange = Exchange(method, target, headers, body)
            with self.lock:
                self.exchanges.append(exchange)
            text = f"{line}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
            server.sendall(text.encode("latin-1") + body)
            try:
                self.answer(exchange, client, answers)
            finally:
                with self.lock:
                    exchange.ended_after = len(self.exchanges)

    def answer(self, exchange, client, answers):
        line, headers = answers.head()
        client.sendall((line + "\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n").encode("latin-1"))
        exchange.status, exchange.answer_headers = int(line.split(" ")[1]), headers
        if exchange.method == "HEAD" or exchange.status in (204, 304):
            return
        if header(headers, "transfer-encoding") == "chunked":
            self.chunks(exchange, client, answers)
        else:
            exchange.answer = answers.exactly(int(header(headers, "content-length", 0)))
            client.sendall(exchange.answer)

    def chunks(self, exchange, client, answers):
        while True:
            while b"\r\n" not in answers.raw:
                ready = select.select([client, answers.socket], [], [])[0]
                if client in ready and not client.recv(1, socket.MSG_PEEK):
                    exchange.hung_up = True
                    raise EOFError
                if answers.socket in ready:
                    answers.more()
            size = answers.until(b"\r\n")
            if int(size.split(b";")[0], 16) == 0:
                trailer = b""
                while (line := answers.until(b"\r\n")):
                    trailer += line + b"\r\n"
                client.sendall(size + b"\r\n" + trailer + b"\r\n")
                return
            data = answers.exactly(int(size.split(b";")[0], 16) + 2)
            client.sendall(size + b"\r\n" + data)
            exchange.answer += data[:-2]
