"""What kube-proxy reads from its ConfigMap and its command line."""

from __future__ import annotations

import pytest

from kubesim import presets
from kubesim.errors import LearnerError
from kubesim.presets import addons
from kubesim.proxy import config

KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clusterCIDR: 192.168.0.0/16
iptables:
  masqueradeAll: true
  masqueradeBit: 14
  minSyncPeriod: 0s
  syncPeriod: 1m30s
kind: KubeProxyConfiguration
metricsBindAddress: 127.0.0.1:10249
mode: ""
nodePortAddresses: [10.0.0.0/8]
"""


def read(files: dict[str, str]):
    def found(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError("No such file or directory") from None

    return found


def test_a_file_as_kubeadm_writes_it() -> None:
    found = config.load(["--config=/c", "--hostname-override", "node1"], read({"/c": KUBEADM}))
    assert found == config.Config(
        hostname_override="node1",
        cluster_cidr="192.168.0.0/16",
        masquerade_all=True,
        min_sync_period=0.0,
        sync_period=90.0,
        node_port_addresses=("10.0.0.0/8",),
    )


def test_zero_and_null_are_the_defaults() -> None:
    text = KUBEADM.replace("1m30s", "0s").replace("masqueradeBit: 14", "masqueradeBit: null")
    found = config.parse(text)
    assert (found.sync_period, found.masquerade_mark) == (30.0, "0x00004000")


def test_flags_alone() -> None:
    found = config.load(["--proxy-mode=ipvs", "--masquerade-all", "--iptables-sync-period", "10s", "-v", "2"], read({}))
    assert (found.mode, found.masquerade_all, found.sync_period) == ("ipvs", True, 10.0)


def test_a_files_unknown_field_is_noted() -> None:
    text = KUBEADM.replace("mode:", "modus: x\nmode:").replace("syncPeriod: 1m30s", "syncPeriod: 1m30s\n  sinkPeriod: 1s")
    assert config.parse(text).unknown == ("modus", "iptables.sinkPeriod")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--magic"], "unknown flag: --magic"),
        (["--cluster-cidr"], "flag needs an argument: --cluster-cidr"),
        (["--masquerade-all=perhaps"], 'invalid argument "perhaps" for "--masquerade-all" flag'),
        (["--config=/nowhere"], "failed complete: open /nowhere: no such file or directory"),
        (["--config=/bad"], "failed complete: time: invalid duration"),
        (["--config=/kind"], 'failed complete: no kind "KubeProxyConfiguration"'),
    ],
)
def test_mistakes_are_named(args: list[str], message: str) -> None:
    files = {"/bad": KUBEADM.replace("1m30s", "soon"), "/kind": "kind: Pod\n"}
    with pytest.raises(LearnerError, match=message):
        config.load(args, read(files))


@pytest.mark.parametrize("name", presets.names())
def test_the_presets_configuration_has_no_field_that_is_none(name: str) -> None:
    found = config.parse(addons.kube_proxy_config(presets.load(name)))
    assert found.unknown == ()
