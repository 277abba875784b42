"""ipvsadm in its own words, and a load balancer made by hand with it."""

from __future__ import annotations

HEAD = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
"""
BALANCER = """
ip addr add 10.9.9.9/32 dev eth0
ipvsadm -A -t 10.9.9.9:80 -s rr
ipvsadm -a -t 10.9.9.9:80 -r 10.0.0.2 -m
"""


def test_a_table_that_is_empty(lan):
    assert lan.out("ipvsadm -Ln") == HEAD
    assert lan.out("ipvsadm") == HEAD
    assert lan.out("ipvsadm -L -n -c") == (
        "IPVS connection entries\npro expire state       source             virtual            destination\n"
    )
    assert lan.out("ipvsadm -L --timeout") == "Timeout (tcp tcpfin udp): 900 120 300\n"


def test_a_balancer_by_hand(lan):
    lan.run(BALANCER)
    assert lan.out("curl -s --interface 10.0.0.1 http://10.9.9.9/n") == "GET /n for 10.9.9.9: \n"
    assert lan.out("ipvsadm -Ln") == (
        f"{HEAD}TCP  10.9.9.9:80 rr\n  -> 10.0.0.2:80                  Masq    1      0          1         \n"
    )
    (entry,) = lan.out("ipvsadm -Lnc").splitlines()[2:]
    assert entry.split()[0] == "TCP"
    assert entry.split()[2] == "TIME_WAIT"
    assert entry.split()[4:] == ["10.9.9.9:80", "10.0.0.2:80"]
    stats = lan.out("ipvsadm -Ln --stats").splitlines()
    assert stats[1] == "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes"
    assert stats[3].split()[:2] == ["TCP", "10.9.9.9:80"]
    assert stats[3].split()[2] == "1"
    assert lan.out("ipvsadm -Z; ipvsadm -Ln --stats").splitlines()[3].split()[2:] == ["0"] * 5


def test_saved_and_restored(lan):
    saved = (
        "-A -t 10.9.9.9:80 -s wrr -p 600\n"
        "-a -t 10.9.9.9:80 -r 10.0.0.2:80 -m -w 3\n"
        "-a -t 10.9.9.9:80 -r 10.0.0.3:8080 -m -w 1\n"
        "-A -u 10.9.9.9:53 -s sh\n"
    )
    lan.run(f"cat > saved <<'END'\n{saved}END\n")
    assert lan.out("ipvsadm -R < saved; ipvsadm -S -n") == saved
    assert lan.out("ipvsadm -Ln -t 10.9.9.9:80").splitlines()[3:] == [
        "TCP  10.9.9.9:80 wrr persistent 600",
        "  -> 10.0.0.2:80                  Masq    3      0          0         ",
        "  -> 10.0.0.3:8080                Masq    1      0          0         ",
    ]
    lan.run(
        "ipvsadm -e -t 10.9.9.9:80 -r 10.0.0.2:80 -m -w 0; ipvsadm -E -t 10.9.9.9:80 -s rr; ipvsadm -D -u 10.9.9.9:53"
    )
    assert lan.out("ipvsadm --save").splitlines()[:2] == [
        "-A -t 10.9.9.9:80 -s rr",
        "-a -t 10.9.9.9:80 -r 10.0.0.2:80 -m -w 0",
    ]
    assert lan.out("ipvsadm -C; ipvsadm -Sn") == ""


def test_what_the_kernel_refuses(lan):
    lan.run(BALANCER)
    assert lan.err("ipvsadm -A -t 10.9.9.9:80 -s rr") == ("Service already exists\n", 255)
    assert lan.err("ipvsadm -D -t 10.9.9.9:81") == ("No such service\n", 255)
    assert lan.err("ipvsadm -a -t 10.9.9.9:81 -r 10.0.0.2 -m") == ("Service not defined\n", 255)
    assert lan.err("ipvsadm -a -t 10.9.9.9:80 -r 10.0.0.2:80 -m") == ("Destination already exists\n", 255)
    assert lan.err("ipvsadm -d -t 10.9.9.9:80 -r 10.0.0.3:80") == ("No such destination\n", 255)
    assert lan.err("ipvsadm -A -t 10.9.9.9:82 -s nonsense") == ("Scheduler or persistence engine not found\n", 255)


def test_what_is_not_simulated_says_so(lan):
    lan.run(BALANCER)
    assert "not simulated: ipvsadm: direct routing" in lan.err("ipvsadm -a -t 10.9.9.9:80 -r 10.0.0.3:80")[0]
    assert "not simulated: ipvsadm: the option -g" in lan.err("ipvsadm -a -t 10.9.9.9:80 -r 10.0.0.3:80 -g")[0]
    assert "not simulated: the IPVS scheduler 'mh'" in lan.err("ipvsadm -A -t 10.9.9.9:81 -s mh")[0]
    message, status = lan.err("ipvsadm -A")
    assert (message.splitlines()[0], status) == (
        "You need to supply the 'service' option for the 'add-service' command",
        2,
    )
