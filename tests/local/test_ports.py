"""Free ports, and a clear word about who holds one."""

import os
import socket

from opsconsole.local.ports import _first_outgoing_port, free_ports, port_in_use


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < _first_outgoing_port(), "an outgoing connection could take it"
    assert [port_in_use(port) for port in ports] == [None] * 20


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        holder = port_in_use(port)
        assert holder and (holder.port, holder.pid) == (port, os.getpid())
        assert str(holder).startswith(f"port {port} is in use by pid {os.getpid()} (")
    assert port_in_use(port) is None
