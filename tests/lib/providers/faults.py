# SPDX-License-Identifier: Apache-2.0
"""What happens instead of an answer."""
import socket
import struct

from http_app import answer


def status(code, words="no", headers=()):
    return lambda provider, request, exchange: provider.reply(provider.error(code, words), code, headers)


def document(content, code=200):
    """Any JSON as an answer."""
    return lambda provider, request, exchange: provider.reply(content, code)


def bytes_of(data, code=200, kind="application/json"):
    return lambda provider, request, exchange: answer(code, data, [("Content-Type", kind)])


def cut(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{\"choices\": [")


def reset(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{")
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(provider, request, exchange):
    while exchange.more():
        exchange.pending = b""


def hang_midway(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    return hang(provider, request, exchange)


def endless(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        exchange.send(b"10000\r\n" + 65536 * b" " + b"\r\n")


def html(provider, request, exchange):
    return answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", [("Content-Type", "text/html")])
