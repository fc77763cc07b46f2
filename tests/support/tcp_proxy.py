"""Stands between programs and TCP ports of this machine, and cuts, delays and withholds what goes through.

    tcp_proxy.py PORT...               listens for each of them on a port of its own
    tcp_proxy.py --networks N PORT...  makes N network namespaces with nothing but a loopback interface, and listens
                                       in each of them on ports of the same numbers: the only way out

Prints one line of JSON when ready:
    ports      the ports that it listens on, one for each PORT
    networks   of each namespace a file for setns(2); empty: none may be made here (that takes root), and it is as if
               they had not been asked for
    control    a port that takes one command per connection and answers "ok" when that is done:
        cut             closes every connection
        withhold MS     for so long requests go through and answers do not; then closes every connection: whoever asked
                        cannot know whether he was heard
        delay MS        from now on holds back every piece of data for so long (0: not at all)
        part NUMBER MS  for so long what is sent in that namespace (0, 1, …) is lost; connections stay
"""
import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
LIBC = ctypes.CDLL(None)
connections, lock = set(), threading.Lock()
delay_ms, withholding = 0, threading.Event()


class Network:
    """A network namespace that listens on `ports`. PermissionError: it may not be made."""

    def __init__(self, ports):
        with open("/proc/self/ns/net") as outside:
            if LIBC.unshare(CLONE_NEWNET) != 0:
                raise PermissionError("no network namespace")
            self.file = open("/proc/self/ns/net")
            self.any_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.set_up(True)
            self.listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
            # A socket stays in the namespace in which it was made.
            if LIBC.setns(outside.fileno(), CLONE_NEWNET) != 0:
                sys.exit("cannot come back from a network namespace")

    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.file.fileno()}"

    def set_up(self, up):
        fcntl.ioctl(self.any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP if up else 0))


def close(*ends):
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def relay(source, target, is_answer):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if delay_ms:
                time.sleep(delay_ms / 1000)
            if is_answer and withholding.is_set():
                continue
            target.sendall(data)
    close(source, target)


def serve(client, port):
    with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with lock:
            connections.update((client, server))
        answers = threading.Thread(target=relay, args=(server, client, True), daemon=True)
        answers.start()
        relay(client, server, False)
        answers.join()
        with lock:
            connections.difference_update((client, server))


def cut():
    with lock:
        close(*connections)


def control(command):
    global delay_ms
    word, *numbers = command.split()
    if word == "cut":
        cut()
    elif word == "withhold":
        withholding.set()
        time.sleep(int(numbers[0]) / 1000)
        cut()
        withholding.clear()
    elif word == "delay":
        delay_ms = int(numbers[0])
    elif word == "part":
        networks[int(numbers[0])].set_up(False)
        time.sleep(int(numbers[1]) / 1000)
        networks[int(numbers[0])].set_up(True)


def accept(listener, handle, *arguments):
    while True:
        threading.Thread(target=handle, args=(listener.accept()[0], *arguments), daemon=True).start()


def take_command(client):
    with client:
        control(client.recv(100).decode().strip())
        client.sendall(b"ok\n")


words, asked = sys.argv[1:], 0
if words[0] == "--networks":
    asked, words = int(words[1]), words[2:]
targets = [int(port) for port in words]
try:
    networks = [Network(targets) for _ in range(asked)]
except PermissionError:
    networks = []
listening = [(listener, port) for network in networks for listener, port in zip(network.listeners, targets)]
if not networks:
    listening = [(socket.create_server(("127.0.0.1", 0)), port) for port in targets]
commands = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"ports": [listener.getsockname()[1] for listener, _ in listening[:len(targets)]],
                  "networks": [network.path() for network in networks],
                  "control": commands.getsockname()[1]}), flush=True)
for listener, port in listening:
    threading.Thread(target=accept, args=(listener, serve, port), daemon=True).start()
accept(commands, take_command)
