"""The lab of `conftest`, built of real namespaces: two nodes and an outside client on a LAN, pods behind the nodes.

Programs in it are this file run inside a namespace: `serve NAME PORT...` answers, over TCP and UDP, with its name and the peer
that it sees; `connect` reads questions (address, port, and "udp" where it is not TCP) and says what came of each.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

# Address, port, and "udp" where it is not TCP.
Target = tuple[str, int] | tuple[str, int, str]
PATIENCE = 0.7  # seconds after which a silent connection counts as dropped
WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "dropped",
    errno.EINVAL: "invalid",
    errno.EPERM: "not permitted",
}


class RealLab:
    """Namespaces by the names of the simulated lab's hosts."""

    def __init__(self) -> None:
        import namespaces

        self.hosts = {name: namespaces.Namespace() for name in ("lan", "node1", "node2", "outside")}
        self.servers: list[subprocess.Popen[str]] = []
        lan = self.hosts["lan"]
        lan.run("ip link add br0 type bridge && ip link set br0 up")
        for name, ip in (("node1", "172.18.0.2"), ("node2", "172.18.0.3"), ("outside", "172.18.0.1")):
            host = self.hosts[name]
            lan.run(
                f"ip link add {name} type veth peer name eth0 netns {host.name} && ip link set {name} master br0 up"
            )
            host.run(f"ip addr add {ip}/16 dev eth0 && ip link set eth0 up")
        for name, other, subnet in (("node1", "172.18.0.3", "10.244.2.0/24"), ("node2", "172.18.0.2", "10.244.1.0/24")):
            host = self.hosts[name]
            host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
            host.run("sysctl -qw net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.default.route_localnet=1")
            host.run("sysctl -qw net.ipv4.conf.all.route_localnet=1")
            host.run(f"ip route add default via 172.18.0.1 && ip route add {subnet} via {other}")
        # ICMP errors are not to be rationed here.
        for host in self.hosts.values():
            host.run("sysctl -qw net.ipv4.icmp_ratelimit=0", check=False)
            host.run("sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=10000", check=False)

    def pod(self, node: str, name: str, ip: str) -> None:
        import namespaces

        pod = self.hosts[name] = namespaces.Namespace()
        at = self.hosts[node]
        end = f"cali{name}"
        at.run(f"ip link add {end} type veth peer name eth0 netns {pod.name} && ip link set {end} up")
        pod.run(f"ip addr add {ip}/32 dev eth0 && ip link set eth0 up && ip route add 169.254.1.1 dev eth0 scope link")
        pod.run("ip route add default via 169.254.1.1 dev eth0")
        at.run(
            f"sysctl -qw net.ipv4.conf.{end}.proxy_arp=1 net.ipv4.conf.{end}.rp_filter=0 net.ipv4.neigh.{end}.proxy_delay=0"
        )
        at.run(f"ip route add {ip}/32 dev {end} scope link")

    def serve(self, name: str, *ports: int) -> None:
        server = subprocess.Popen(
            ["ip", "netns", "exec", self.hosts[name].name, sys.executable, __file__, "serve", name, *map(str, ports)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

    def connect(self, name: str, targets: Sequence[Target]) -> list[str]:
        """What came of a connection to each."""
        return [answers[0] for answers in self.connect_all([name], targets, 1)[name]]

    def connect_all(self, clients: list[str], targets: Sequence[Target], times: int) -> dict[str, list[list[str]]]:
        """Every client asks every target, `times` times in a row; what came of it by client and target."""
        asking = {
            name: subprocess.Popen(
                ["ip", "netns", "exec", self.hosts[name].name, sys.executable, __file__, "connect", str(times)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in clients
        }
        return {name: json.loads(each.communicate(json.dumps(targets))[0]) for name, each in asking.items()}

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
        for host in self.hosts.values():
            host.close()


def serve(name: str, ports: list[int]) -> None:
    def answer(listener: socket.socket) -> None:
        while True:
            connection, peer = listener.accept()
            try:
                connection.sendall(f"{name} saw {peer[0]}".encode())
            except OSError:
                pass
            finally:
                connection.close()

    def reply(datagrams: socket.socket) -> None:
        while True:
            _, peer = datagrams.recvfrom(100)
            datagrams.sendto(f"{name} saw {peer[0]}".encode(), peer)

    for port in ports:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("0.0.0.0", port))
        threading.Thread(target=reply, args=(datagrams,), daemon=True).start()
        listener = socket.create_server(("0.0.0.0", port), backlog=512)
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def connect(targets: list[Target], times: int) -> list[list[str]]:
    answers: list[list[str]] = [[] for _ in targets]
    gate = threading.Semaphore(40)

    def once(ip: str, port: int, protocol: str = "tcp") -> str:
        with socket.socket(type=socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect((ip, port))
                if protocol == "udp":
                    client.send(b"who?")
                return client.recv(100).decode()
            except TimeoutError:
                return "dropped"
            except OSError as error:
                return WORDS.get(error.errno or 0, str(error))

    def ask(index: int, *target: str | int) -> None:
        with gate:
            answers[index] = [once(*target) for _ in range(times)]  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask, args=(index, *target)) for index, target in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], [int(port) for port in sys.argv[3:]])
    else:
        print(json.dumps(connect([tuple(each) for each in json.load(sys.stdin)], int(sys.argv[2]))))
