#!/usr/bin/env bash
# A real Slurm on this machine alone, for tests: two virtual nodes with a made-up GPU each. As root.
#   cluster.sh install     install Debian's slurm-wlm and munge, if they are not there
#   cluster.sh start DIR   write keys, configuration and state under DIR, start the daemons, wait
#                          for two idle nodes
#   cluster.sh stop DIR    end exactly the daemons that start wrote pid files for
# slurm.conf must be in /etc/slurm, because the job step of Snakemake's executor drops SLURM_CONF:
# start links it there and stop removes the link. A machine with a Slurm of its own is left alone.
# There is no accounting database, so the status of jobs comes from squeue.
set -euo pipefail
usage="usage: cluster.sh install | start DIR | stop DIR"
verb=${1:?$usage}
if [ "$verb" = install ]; then
    if ! { command -v slurmctld && command -v munged; } >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            slurm-wlm munge >/dev/null
    fi
    exit 0
fi
dir=$(realpath -m "${2:?$usage}")
host=$(hostname -s)
case $verb in
start)
    # A link that a killed test left: its controller is dead, and each command would wait for it.
    if left=$(readlink /etc/slurm/slurm.conf) && [ -f "$(dirname "$left")/gres.conf" ] &&
        ! kill -0 "$(cat "$(dirname "$left")/run/slurmctld.pid" 2>/dev/null)" 2>/dev/null; then
        rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
    fi
    if [ -e /etc/slurm/slurm.conf ]; then
        echo "this machine has a Slurm of its own: /etc/slurm/slurm.conf" >&2
        exit 3
    fi
    mkdir -p "$dir"/{run,log,state,spool-n1,spool-n2} /etc/slurm
    chmod 755 "$dir" "$dir/run"
    head -c 1024 /dev/urandom >"$dir/munge.key"
    chmod 400 "$dir/munge.key"
    cat >"$dir/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
PluginDir=/usr/lib/$(uname -m)-linux-gnu/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=0
KillWait=30
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=32000 Gres=gpu:fake:1
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=8 RealMemory=32000 Gres=gpu:fake:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
    printf 'NodeName=n1 Name=gpu Type=fake File=/dev/tty10\nNodeName=n2 Name=gpu Type=fake File=/dev/tty11\n' \
        >"$dir/gres.conf"
    ln -sfn "$dir/slurm.conf" /etc/slurm/slurm.conf
    ln -sfn "$dir/gres.conf" /etc/slurm/gres.conf
    munged --force --key-file="$dir/munge.key" --socket="$dir/run/munge.socket" \
        --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" \
        --seed-file="$dir/run/munge.seed"
    slurmctld -f "$dir/slurm.conf"
    for node in n1 n2; do slurmd -N "$node" -f "$dir/slurm.conf"; done
    for _ in $(seq 300); do
        if [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; then exit 0; fi
        sleep 0.2
    done
    echo "the two nodes did not become idle; see $dir/log" >&2
    exit 1
    ;;
stop)
    for daemon in slurmd-n1 slurmd-n2 slurmctld munged; do
        if [ -f "$dir/run/$daemon.pid" ]; then kill "$(cat "$dir/run/$daemon.pid")" || true; fi
    done
    for file in slurm.conf gres.conf; do
        if [ "$(readlink "/etc/slurm/$file")" = "$dir/$file" ]; then rm "/etc/slurm/$file"; fi
    done
    ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
