"""How our clients and servers talk: message limits and keepalive, one place for both sides so that they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Both ways. Over the largest image that a service takes (20 MiB) by so much that a 50 MB picture still reaches the code that
refuses it by name, instead of ending the stream and its neighbours."""

_KEEPALIVE_MS: Final = 30_000


def message_options(max_message_bytes: int = MAX_MESSAGE_BYTES) -> list[tuple[str, int]]:
    """Both directions must be set on both sides: the default is 4 MiB, and a misspelt name is ignored silently."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]


def client_options(max_message_bytes: int = MAX_MESSAGE_BYTES) -> list[tuple[str, int]]:
    """Options of every channel that we open."""
    return [
        *message_options(max_message_bytes),
        # A machine that vanished without a FIN is noticed within 40 s, while a stream waits and says nothing.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A restarted service is found again quickly: the default backs off to 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        # This is how long a connection may take, whatever its name says: among a thousand others a healthy one takes seconds.
        ("grpc.min_reconnect_backoff_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # We retry ourselves, item by item; gRPC's own retries would buffer whole streams.
        ("grpc.enable_retries", 0),
        # Two clients in one process to one restarted service must not share a broken connection's backoff.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def server_options(max_message_bytes: int = MAX_MESSAGE_BYTES) -> list[tuple[str, int]]:
    """Options of every server that we start."""
    return [
        *message_options(max_message_bytes),
        # Two services on one port would share it silently and each get half of the calls.
        ("grpc.so_reuseport", 0),
        # Without these a client's keepalive pings count as abuse and the server ends the connection ("too_many_pings").
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients that vanished are noticed, so that their work is freed.
        ("grpc.keepalive_time_ms", 2 * _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]


def open_channel(target: str, interceptors: Sequence[grpc.aio.ClientInterceptor] | None = None) -> grpc.aio.Channel:
    """A channel to `target` ("host:port"); call it inside the running loop."""
    return grpc.aio.insecure_channel(target, options=client_options(), interceptors=interceptors)
