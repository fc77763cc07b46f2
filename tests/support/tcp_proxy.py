"""Stands between programs and a TCP port of this machine, and cuts, delays and withholds what goes through.

    tcp_proxy.py PORT

Prints "PROXY CONTROL" when ready: the port that it listens on, and one that takes one command per connection and
answers "ok" when that is done:
    cut           closes every connection
    withhold MS   for so long requests go through and answers do not; then closes every connection: whoever asked
                  cannot know whether he was heard
    delay MS      from now on holds back every piece of data for so long (0: not at all)
"""
import contextlib
import socket
import sys
import threading
import time

PORT = int(sys.argv[1])
connections, lock = set(), threading.Lock()
delay_ms, withholding = 0, threading.Event()


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


def serve(client):
    with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT)) as server:
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
    word, _, number = command.partition(" ")
    if word == "cut":
        cut()
    elif word == "withhold":
        withholding.set()
        time.sleep(int(number) / 1000)
        cut()
        withholding.clear()
    elif word == "delay":
        delay_ms = int(number)


def accept(listener, handle):
    while True:
        threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()


def take_command(client):
    with client:
        control(client.recv(100).decode().strip())
        client.sendall(b"ok\n")


through, commands = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
print(through.getsockname()[1], commands.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(commands, take_command), daemon=True).start()
accept(through, serve)
