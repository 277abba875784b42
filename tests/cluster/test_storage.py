"""Claims and volumes: bound when a pod needs them, on its node; a StatefulSet's data outlives its pods."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster

DB = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: db
        image: nginx
        volumeMounts: [{name: data, mountPath: /usr/share/nginx/html}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
POLICY
EOF
sleep 30
"""
CLAIM = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mine}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 500Mi}}CLASS}
EOF
sleep 1
"""
POD = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  containers: [{name: user, image: nginx, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: mine}}]
EOF
sleep 10
"""
PHASE = "kubectl get pvc mine -o jsonpath='{.status.phase}'"


def stateful(cluster: Cluster, policy: str = "") -> None:
    done = cluster.shell(DB.replace("POLICY", policy))
    assert done.exit_code == 0, done.stderr
    assert "2/2" in cluster.shell("kubectl get statefulset db").stdout, cluster.shell("kubectl get pods,pvc,pv").stdout


def test_each_number_keeps_its_data(cluster: Cluster) -> None:
    stateful(cluster)
    listed = cluster.shell("kubectl get pvc --no-headers | awk '{print $1, $2, $4, $5, $6}'").stdout
    assert listed == "data-db-0 Bound 1Gi RWO standard\ndata-db-1 Bound 1Gi RWO standard\n"
    cluster.shell("for i in 0 1; do kubectl exec db-$i -- sh -c \"echo I am $i > /usr/share/nginx/html/index.html\"; done")
    cluster.shell("kubectl delete pod db-1; sleep 20")
    assert cluster.shell("curl -s $(kubectl get pod db-1 -o jsonpath='{.status.podIP}')").stdout == "I am 1\n"
    # Scaled away and back: the claim has waited.
    cluster.shell("kubectl scale statefulset db --replicas=0; sleep 20; kubectl scale statefulset db --replicas=2; sleep 30")
    assert cluster.shell("curl -s $(kubectl get pod db-0 -o jsonpath='{.status.podIP}')").stdout == "I am 0\n"


def test_the_volume_keeps_the_pod_on_its_node(cluster: Cluster) -> None:
    stateful(cluster)
    node = cluster.shell("kubectl get pod db-0 -o jsonpath='{.spec.nodeName}'").stdout
    volume = cluster.shell("kubectl get pvc data-db-0 -o jsonpath='{.spec.volumeName}'").stdout
    path = "{.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values}"
    assert cluster.shell(f"kubectl get pv {volume} -o jsonpath='{path}'").stdout == f'["{node}"]'
    cluster.shell(f"kubectl cordon {node}; kubectl delete pod db-0; sleep 10")
    said = cluster.shell("kubectl get events --field-selector reason=FailedScheduling -o jsonpath='{.items[-1:].message}'").stdout
    assert "1 node(s) didn't match PersistentVolume's node affinity" in said
    assert "1 node(s) were unschedulable" in said


def test_the_policy_says_what_goes_with_the_pods(cluster: Cluster) -> None:
    stateful(cluster, "  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}")
    cluster.shell("kubectl scale statefulset db --replicas=1; sleep 20")
    assert cluster.shell("kubectl get pvc -o name").stdout == "persistentvolumeclaim/data-db-0\n"
    cluster.shell("kubectl delete statefulset db; sleep 20")
    assert cluster.shell("kubectl get pvc -o name").stdout == ""
    # The volumes were made for these claims, and go with them.
    assert cluster.shell("kubectl get pv -o name").stdout == ""


def test_a_claim_waits_for_a_pod_and_stays_while_it_is_used(cluster: Cluster) -> None:
    cluster.shell(CLAIM.replace("CLASS", ""))
    assert cluster.shell(PHASE).stdout == "Pending"
    reasons = "kubectl get events --field-selector involvedObject.name=mine -o jsonpath='{.items[*].reason}'"
    assert cluster.shell(reasons).stdout == "WaitForFirstConsumer"
    cluster.shell(POD)
    assert cluster.shell(PHASE).stdout == "Bound"
    told = set(cluster.shell(reasons).stdout.split())
    assert told == {"WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"}
    cluster.shell("kubectl delete pvc mine --wait=false; sleep 5")
    assert "Terminating" in cluster.shell("kubectl get pvc mine").stdout
    cluster.shell("kubectl delete pod user; sleep 5")
    assert cluster.shell("kubectl get pvc mine").exit_code == 1


def test_a_volume_of_one_s_own_is_bound_and_kept(cluster: Cluster) -> None:
    volume = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: PersistentVolume
metadata: {name: SIZE}
spec:
  capacity: {storage: SIZE}
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  hostPath: {path: /mnt/data}
EOF
"""
    cluster.shell(volume.replace("SIZE", "2gi").replace("storage: 2gi", "storage: 2Gi"))
    cluster.shell(volume.replace("SIZE", "1gi").replace("storage: 1gi", "storage: 1Gi"))
    cluster.shell(CLAIM.replace("CLASS", ", storageClassName: manual"))
    listed = cluster.shell("kubectl get pv --no-headers | awk '{print $1, $5, $6}'").stdout
    assert listed == "1gi Bound default/mine\n2gi Available manual\n"
    cluster.shell("kubectl delete pvc mine; sleep 2")
    assert "Released" in cluster.shell("kubectl get pv 1gi").stdout


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("", '0/3 nodes are available: persistentvolumeclaim "mine" not found.'),
        (
            CLAIM.replace("CLASS", ", storageClassName: ''"),
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
    ],
)
def test_why_a_pod_with_a_claim_is_not_placed(cluster: Cluster, claim: str, says: str) -> None:
    cluster.shell(claim)
    cluster.shell(POD)
    told = cluster.shell("kubectl get events --field-selector reason=FailedScheduling -o jsonpath='{.items[0].message}'").stdout
    assert told.startswith(says)
