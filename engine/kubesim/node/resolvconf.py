"""A pod's /etc/resolv.conf, /etc/hosts and /etc/hostname.

Sources: `pkg/kubelet/network/dns/dns.go`, `pkg/kubelet/kubelet_pods.go` (managedHostsFileContent, GeneratePodHostNameAndDomain);
the layout of resolv.conf is the runtime's (containerd `internal/cri/server/sandbox_run_linux.go` parseDNSOptions).
"""

from __future__ import annotations

from dataclasses import dataclass

from kubesim.client import Object
from kubesim.machinery import objects
from kubesim.node.config import KubeletConfig

# resolv.conf(5) and `MaxDNSSearchPaths`: what a resolver heeds.
MAX_NAMESERVERS = 3
HOSTNAME_MAX = 63

HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


@dataclass(slots=True)
class Dns:
    servers: list[str]
    searches: list[str]
    options: list[str]

    def text(self, docker: bool) -> str:
        """The file: containerd puts the search list first, dockershim the servers."""
        servers = [f"nameserver {each}" for each in self.servers]
        searches = [f"search {' '.join(self.searches)}"] if self.searches else []
        options = [f"options {' '.join(self.options)}"] if self.options else []
        lines = [*servers, *searches, *options] if docker else [*searches, *servers, *options]
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Dns:
    """A node's resolv.conf (parseResolvConf): the last search and options lines count."""
    found = Dns([], [], [])
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        match words[0]:
            case "nameserver":
                found.servers.append(words[1])
            case "search":
                # A lone dot means no search list.
                found.searches = [] if words[1:] == ["."] else [each.rstrip(".") for each in words[1:]]
            case "options":
                found.options = words[1:]
    return found


def for_pod(pod: Object, config: KubeletConfig, node: Dns) -> Dns:
    """What a pod's dnsPolicy and dnsConfig come to (GetPodDNS)."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    elif policy == "ClusterFirstWithHostNet":
        policy = "ClusterFirst"
    if policy == "None":
        dns = Dns([], [], [])
    elif policy == "ClusterFirst" and config.cluster_dns:
        domain = config.cluster_domain
        searches = [f"{objects.namespace(pod)}.svc.{domain}", f"svc.{domain}", domain, *node.searches]
        dns = Dns(list(config.cluster_dns), list(dict.fromkeys(searches)), ["ndots:5"])
    else:
        dns = Dns(list(node.servers), list(node.searches), list(node.options))
    own = spec.get("dnsConfig") or {}
    dns.servers = list(dict.fromkeys([*dns.servers, *(own.get("nameservers") or ())]))[:MAX_NAMESERVERS]
    dns.searches = list(dict.fromkeys([*dns.searches, *(own.get("searches") or ())]))
    for option in own.get("options") or ():
        name, value = option["name"], option.get("value")
        dns.options = [each for each in dns.options if each.partition(":")[0] != name]
        dns.options.append(f"{name}:{value}" if value else name)
    return dns


def hostname(pod: Object, config: KubeletConfig) -> tuple[str, str]:
    """(hostname, its domain or "") of a pod."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return config.hostname or config.node_name, ""
    name = spec.get("hostname") or objects.name(pod)[:HOSTNAME_MAX].rstrip("-.")
    subdomain = spec.get("subdomain")
    return name, f"{subdomain}.{objects.namespace(pod)}.svc.{config.cluster_domain}" if subdomain else ""


def hosts(pod: Object, config: KubeletConfig, address: str, node_hosts: str) -> str:
    """The hosts file that the kubelet writes."""
    if pod["spec"].get("hostNetwork"):
        text = f"# Kubernetes-managed hosts file (host network).\n{node_hosts}"
    else:
        name, domain = hostname(pod, config)
        text = f"{HOSTS}{address}\t{f'{name}.{domain}' + chr(9) if domain else ''}{name}\n"
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{each['ip']}\t{chr(9).join(each.get('hostnames') or ())}\n" for each in aliases)
    return text
