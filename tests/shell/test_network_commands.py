"""The commands that look at the network, in the words of the real ones."""

from __future__ import annotations

import pytest

from kubesim.programs import disks


def test_ip_address(lan):
    assert lan.out("ip a | grep inet").splitlines() == [
        "    inet 127.0.0.1/8 scope host lo",
        "    inet6 ::1/128 scope host noprefixroute ",
        "    inet 10.0.0.1/24 brd 10.0.0.255 scope global dynamic eth0",
    ]
    assert lan.out("ip -br -4 addr") == (
        "lo               UNKNOWN        127.0.0.1/8 \neth0             UP             10.0.0.1/24 \n"
    )


def test_ip_route_and_neighbours(lan):
    assert (
        lan.out("ip r")
        == "default via 10.0.0.254 dev eth0 \n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1 \n"
    )
    assert lan.out("ip route get 8.8.8.8") == "8.8.8.8 via 10.0.0.254 dev eth0 src 10.0.0.1 uid 0 \n    cache \n"
    lan.run("curl -s web; ip route add 10.5.0.0/16 via 10.0.0.2")
    assert "10.5.0.0/16 via 10.0.0.2 dev eth0" in lan.out("ip r")
    assert lan.out("ip n").startswith("10.0.0.2 dev eth0 lladdr 02:42:")
    assert lan.err("ip route del 10.6.0.0/16") == ("RTNETLINK answers: No such process\n", 2)
    assert lan.err("ip addr show dev eth7") == ('Device "eth7" does not exist.\n', 1)


def test_ping(lan):
    lines = lan.out("ping -c 2 web").splitlines()
    assert lines[0] == "PING web (10.0.0.2) 56(84) bytes of data."
    assert lines[1].startswith("64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.")
    assert lines[-2] == "2 packets transmitted, 2 received, 0% packet loss, time 1000ms"
    lan.run("sudo iptables -A OUTPUT -p icmp -j DROP")
    result = lan.run("ping -c 2 -W 1 web")
    assert "2 packets transmitted, 0 received, 100% packet loss" in result.stdout
    assert result.exit_code == 1


def test_nc_and_telnet(lan):
    assert lan.err("nc -zv web 80") == ("web [10.0.0.2] 80 (http) open\n", 0)
    assert lan.err("nc -zv web 99") == ("web [10.0.0.2] 99 (?) : Connection refused\n", 1)
    assert lan.err("nc -zv -w 2 10.0.0.77 80")[0].endswith("80 (http) : Connection timed out\n")
    assert "GET /n for : " in lan.out("printf 'GET /n HTTP/1.0\\r\\n\\r\\n' | nc web 80")
    assert lan.out("telnet web 80") == "Trying 10.0.0.2...\nConnected to web.\nEscape character is '^]'.\n"
    assert lan.err("telnet web 99")[0] == "telnet: Unable to connect to remote host: Connection refused\n"


def test_nc_sends_datagrams_from_the_port_it_is_told(lan):
    lan.run("iptables -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT")
    assert "sport=5000 dport=9" in lan.out("echo hello | nc -u -w 1 -p 5000 web 9; conntrack -L -p udp")
    assert lan.err("nc -p 5000 web 80")[0].startswith("not simulated: nc: a source port of one's own")


def test_nc_listens_and_ss_shows_it(lan):
    lan.run("nc -l -p 9000 > got &")
    assert "LISTEN 0 4096 0.0.0.0:9000 0.0.0.0:*" in " ".join(lan.out("ss -ltn").split())
    assert lan.out("echo hello | nc 10.0.0.1 9000; cat got") == "hello\n"
    assert "9000" not in lan.out("ss -ltn; netstat -tln")


def test_dev_tcp(lan):
    assert lan.run("(echo > /dev/tcp/10.0.0.2/80) && echo open").stdout == "open\n"
    assert lan.err("echo > /dev/tcp/10.0.0.2/99") == (
        "bash: connect: Connection refused\nbash: /dev/tcp/10.0.0.2/99: Connection refused\n",
        1,
    )


def test_wget(lan):
    assert lan.out("wget -qO- web/x") == "GET /x for web: \n"
    stderr = lan.run("wget -O- web/x").stderr
    assert "Resolving web (web)... 10.0.0.2\n" in stderr
    assert "HTTP request sent, awaiting response... 200 OK\n" in stderr
    assert lan.err("wget -q web/missing") == ("", 8)


def test_iptables(lan):
    lan.run(
        "iptables -t nat -N WEB; iptables -t nat -A WEB -d 10.9.9.9 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80"
    )
    lan.run("iptables -t nat -A OUTPUT -j WEB; ip route add 10.9.9.9 via 10.0.0.2")
    assert "-A WEB -d 10.9.9.9/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80" in lan.out(
        "iptables-save -t nat"
    )
    assert lan.out("iptables -t nat -nL WEB") == (
        "Chain WEB (1 references)\ntarget     prot opt source               destination         \n"
        "DNAT       tcp  --  0.0.0.0/0            10.9.9.9             tcp dpt:80 to:10.0.0.2:80\n"
    )
    assert lan.out("curl -s 10.9.9.9") == "GET / for 10.9.9.9: \n"
    assert "dst=10.9.9.9" in lan.out("conntrack -L -p tcp")
    lan.run("iptables-save > rules; iptables -t nat -F; iptables-restore < rules")
    assert lan.out("iptables -t nat -S WEB | wc -l") == "2\n"


@pytest.mark.parametrize(
    ("command", "stderr", "status"),
    [
        ("iptables -A NONE -j DROP", "iptables: No chain/target/match by that name.\n", 1),
        ("iptables -X OUTPUT", "iptables: No chain/target/match by that name.\n", 1),
        ("iptables -D INPUT 7", "iptables: Index of deletion too big.\n", 1),
        ("su vagrant -c 'iptables -S'",
         "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n\n", 4),
    ],
)  # fmt: skip
def test_iptables_refuses(lan, command, stderr, status):
    assert lan.err(command) == (stderr, status)


def test_sudo_and_users(lan):
    lan.machine.user, lan.machine.home = "vagrant", "/desk"
    assert (
        lan.out("whoami; sudo whoami; sudo sh -c 'whoami; echo $HOME'; id -u") == "vagrant\nroot\nroot\n/root\n1000\n"
    )
    assert lan.err("sudo nope") == ("sudo: nope: command not found\n", 1)
    assert lan.err("iptables-save")[1] == 4


def test_hostname(lan):
    assert lan.out("hostname; hostname -I; hostname -i") == "box\n10.0.0.1 \n10.0.0.1\n"


def test_names_without_a_server(lan):
    assert lan.out("getent hosts web") == "10.0.0.2        web\n"
    assert lan.run("dig +tries=1 +time=1 web").exit_code == 9
    assert ";; no servers could be reached" in lan.out("nslookup nosuch")


def test_busybox_has_words_of_its_own(lan):
    lan.machine.tools = disks.BUSYBOX
    assert lan.out("ping -c 1 web").startswith(
        "PING web (10.0.0.2): 56 data bytes\n64 bytes from 10.0.0.2: seq=0 ttl=64 time=0."
    )
    assert lan.out("arp -n").startswith("? (10.0.0.2) at 02:42:")
    assert lan.err("ping -c 1 nosuch") == ("ping: bad address 'nosuch'\n", 1)
    assert lan.err("nc -zv web 80") == ("web (10.0.0.2:80) open\n", 0)
    assert lan.err("nc -zv web 99") == ("nc: web (10.0.0.2:99): Connection refused\n", 1)
    assert lan.err("telnet web 99") == ("telnet: can't connect to remote host (10.0.0.2): Connection refused\n", 1)
    assert lan.err("wget -qO- web:99") == ("wget: can't connect to remote host (10.0.0.2): Connection refused\n", 1)
    assert lan.err("wget -O- -T 2 10.0.0.77")[0].endswith("wget: download timed out\n")
    assert lan.err("wget -q web/missing") == ("wget: server returned error: HTTP/1.1 404 Not Found\n", 1)


def test_nft_reads_blocks_and_says_what_it_does_not_list(lan):
    blocks = "table inet f {\n chain i {\n  type filter hook input priority filter; policy accept;\n  tcp dport 81 drop\n }\n}"
    lan.run("sudo -i")
    assert lan.out(f"nft -f /dev/stdin <<E\n{blocks}\nE\nnft list tables") == "table inet f\n"
    listed = lan.out("nft list ruleset")
    assert "\t\ttcp dport 81 drop\n" in listed
    assert lan.out(f"nft flush ruleset; nft -f - <<E\n{listed}\nE\nnft list ruleset") == listed
    lan.run("iptables -A INPUT -p tcp --dport 82 -j DROP")
    assert lan.out("nft list tables") == "table ip filter\ntable inet f\n"
    result = lan.run("nft list ruleset")
    assert (result.stdout, result.stderr.splitlines()) == (
        listed,
        [
            "# Warning: table ip filter is managed by iptables-nft, do not touch!",
            "nft: not simulated: its view of these tables; iptables-save shows their rules",
        ],
    )


def test_curl_speaks_from_an_interface(lan):
    assert lan.out("curl -s --interface eth0 -o /dev/null -w '%{local_ip}\n' web") == "10.0.0.1\n"
    assert lan.run("curl -sS --interface eth7 web").exit_code == 45


def test_tcpdump_takes_options_behind_its_expression(lan):
    lan.run("sudo -i")
    assert (
        lan.out("tcpdump -ni eth0 port 80 -c 1 2>/dev/null & sleep 1; curl -so /dev/null web; wait").count(
            "> 10.0.0.2.80: Flags [S]"
        )
        == 1
    )
