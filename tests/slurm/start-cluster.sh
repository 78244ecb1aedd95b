#!/usr/bin/env bash
# Start a private, throw-away Slurm cluster on this machine: munged, slurmctld, slurmd, and for accounting mariadbd and
# slurmdbd. Everything lives in one folder; nothing is written to /etc; no systemd, no cgroups; as root or as any user.
# Started twice, the second start only brings back what has stopped.
#   HARNESS_SLURM_DIR          where state, logs, keys and slurm.conf go (default: /tmp/harness-slurm-<user>)
#   HARNESS_SLURM_PORT         first of as many free TCP ports as the cluster needs, 2 + nodes (default: 26817)
#   HARNESS_SLURM_NODES        make-believe nodes, one slurmd each (default: 1)
#   HARNESS_SLURM_CPUS         CPUs a node pretends to have (default: 8)
#   HARNESS_SLURM_MEMORY       MB of memory a node pretends to have (default: 64000)
#   HARNESS_SLURM_GPUS         GPUs a node pretends to have, with no device behind them (default: 0, at most 5)
#   HARNESS_SLURM_ACCOUNTING   none | dbd | auto: dbd if slurmdbd and mariadbd are installed (default: auto)
#   HARNESS_SLURM_MAX_ARRAY    MaxArraySize: one more than the highest array index (default: 10001)
#   HARNESS_SLURM_KILL_WAIT    seconds between SIGTERM and SIGKILL for a cancelled job (default: 5)
#   HARNESS_SLURM_GRACE        seconds that a preempted job of partition `test` has after its signal (default: 10);
#                              it may be more: Slurm looks again after KILL_WAIT and its MessageTimeout of 10 s
#   HARNESS_SLURM_MIN_JOB_AGE  seconds an ended job stays visible to squeue -t all (default: 300)
#   HARNESS_SLURM_CRED_EXPIRE  seconds a requeued job waits before it may start again (default: 5; below that,
#                              Slurm takes 120)
#   HARNESS_SLURM_TIMEOUT      seconds to wait for each daemon (default: 60)
# Partitions: `test` (default) and `urgent`; a job in `urgent` preempts jobs in `test`, which are requeued.
# Afterwards:  . $HARNESS_SLURM_DIR/env.sh     (exports SLURM_CONF)
# Exit status: 3 if a daemon could not have its port, 1 for any other failure.
set -euo pipefail
me=$(id -un)
folder=$(realpath -m "${HARNESS_SLURM_DIR:-/tmp/harness-slurm-$me}")
port=${HARNESS_SLURM_PORT:-26817}
nodes=${HARNESS_SLURM_NODES:-1}
cpus=${HARNESS_SLURM_CPUS:-8}
memory=${HARNESS_SLURM_MEMORY:-64000}
gpus=${HARNESS_SLURM_GPUS:-0}
accounting=${HARNESS_SLURM_ACCOUNTING:-auto}
max_array=${HARNESS_SLURM_MAX_ARRAY:-10001}
kill_wait=${HARNESS_SLURM_KILL_WAIT:-5}
grace=${HARNESS_SLURM_GRACE:-10}
min_job_age=${HARNESS_SLURM_MIN_JOB_AGE:-300}
cred_expire=${HARNESS_SLURM_CRED_EXPIRE:-5}
timeout=${HARNESS_SLURM_TIMEOUT:-60}
PATH=$PATH:/usr/sbin:/sbin
host=$(hostname -s 2>/dev/null || hostname)

say() { printf 'start-cluster: %s\n' "$*"; }
die() { printf 'start-cluster: ERROR: %s\n' "$*" >&2; exit "${status:-1}"; }
now() { date +%s.%N; }
# alive NAME: its pid file names a live process (no zombie) that is that program (slurmd of node2: slurmd slurmd-node2)
alive() {
  local pid; pid=$(cat "$folder/run/${2:-$1}.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && awk -v n="$1" '/^Name:/{ok=($2==n)} /^State:/{if($2=="Z"||$2=="X")ok=0} END{exit !ok}' \
    "/proc/$pid/status" 2>/dev/null
}
# until_ok COMMAND...: poll every 0.05 s; give up at once where a log says that a port is taken
until_ok() {
  local end=$((SECONDS + timeout))
  until "$@" >/dev/null 2>&1; do
    if grep -qi 'address already in use' "$folder"/log/*.log 2>/dev/null; then
      status=3 die "one of the ports from $port on is taken; see $folder/log"
    fi
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}
# fresh_log NAME: set the log of an earlier run aside, for until_ok looks into the logs
fresh_log() { if [ -f "$folder/log/$1.log" ]; then mv -f "$folder/log/$1.log" "$folder/log/$1.log.old"; fi; }

missing=
for program in munged mungekey munge unmunge slurmctld slurmd sinfo scontrol squeue scancel srun sbatch sacct; do
  command -v "$program" >/dev/null || missing="$missing $program"
done
[ -z "$missing" ] || \
  die "not installed:$missing (Debian: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge)"
if [ "$accounting" != none ]; then
  if command -v slurmdbd >/dev/null && command -v mariadbd >/dev/null; then accounting=dbd
  elif [ "$accounting" = auto ]; then accounting=none
  else
    die "no slurmdbd or mariadbd (Debian: apt-get install --no-install-recommends slurmdbd mariadb-server-core)"
  fi
fi
[ ${#folder} -le 80 ] || die "HARNESS_SLURM_DIR is too long for unix sockets (over 80 characters): $folder"
t0=$(now)
mkdir -p "$folder"/{munge,log,run,state,spool,db}
chmod 755 "$folder" "$folder"/{log,run,state,spool}
chmod 711 "$folder/munge"       # munged: everybody may search the socket's folder, its owner alone may write there

# ---------------------------------------------------------------- munge
if ! alive munged; then
  fresh_log munged
  [ -s "$folder/munge/munge.key" ] || mungekey --create --keyfile="$folder/munge/munge.key"
  chmod 600 "$folder/munge/munge.key"
  # --force: munged refuses a socket below a folder such as pytest's tmp_path, which is no loss of safety here
  munged --force --key-file="$folder/munge/munge.key" --socket="$folder/munge/socket" --num-threads=2 \
         --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"
fi
until_ok sh -c "munge -n -S '$folder/munge/socket' | unmunge -S '$folder/munge/socket'" \
  || die "munged does not answer; see $folder/log/munged.log"
t1=$(now)

# ---------------------------------------------------------------- slurm.conf
# Written only when no controller runs: the daemons and clients must agree on it.
if ! alive slurmctld; then
  if [ "$accounting" = dbd ]; then
    # AccountingStoragePass: this, not AuthInfo, is where slurmctld takes the munge socket for talking to slurmdbd from
    accounting_lines="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 1))
AccountingStoragePass=$folder/munge/socket"
  else
    accounting_lines="AccountingStorageType=accounting_storage/none"
  fi
  resource_types="" node_resources="" node_lines="" names=""
  rm -f "$folder/gres.conf"
  if [ "$gpus" -gt 0 ]; then
    resource_types="GresTypes=gpu"; node_resources=" Gres=gpu:$gpus"
    # slurmd counts gpu device files; with nothing that constrains devices, these are never touched
    files=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom)
    [ "$gpus" -le ${#files[@]} ] || die "at most ${#files[@]} make-believe GPUs"
  fi
  for ((i = 1; i <= nodes; i++)); do
    names="$names${names:+,}node$i"
    address="NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1 + i))"
    node_lines+="NodeName=node$i $address CPUs=$cpus RealMemory=$memory$node_resources State=UNKNOWN"$'\n'
    mkdir -p "$folder/spool/node$i"
    for ((g = 0; g < gpus; g++)); do echo "NodeName=node$i Name=gpu File=${files[g]}" >> "$folder/gres.conf"; done
  done
  cat > "$folder/slurm.conf" <<CONF
ClusterName=private
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
# cred_expire is also how long a requeued job waits before it may start again (Slurm's default: 120 s)
AuthInfo=socket=$folder/munge/socket,cred_expire=$cred_expire
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
MailProg=/bin/true
# no cgroups, no task binding, no accounting plugins that need them
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
# let a node claim more CPUs and memory than the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
# a preempted job's steps are sent its own --signal at once (SIGTERM if it has none), and it is requeued when its grace
# time is over
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
# job ids of a fresh cluster would start at 1 again and collide with result folders of an earlier one
FirstJobId=$(($(date +%s) % 60000000))
MaxArraySize=$max_array
MaxJobCount=20000
MinJobAge=$min_job_age
EnforcePartLimits=ALL
KillWait=$kill_wait
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
$accounting_lines
$resource_types
$node_lines
PartitionName=test Nodes=$names Default=YES DefaultTime=5 MaxTime=60 PriorityTier=1 GraceTime=$grace State=UP
PartitionName=urgent Nodes=$names DefaultTime=5 MaxTime=60 PriorityTier=10 State=UP
CONF
fi
export SLURM_CONF=$folder/slurm.conf
printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" > "$folder/env.sh"

# ---------------------------------------------------------------- slurmdbd and mariadbd
if [ "$accounting" = dbd ]; then
  if ! alive mariadbd; then
    fresh_log mariadbd
    # mariadb-install-db needs my_print_defaults, whose package pulls perl in: its work is done by hand
    if [ ! -f "$folder/db/.bootstrapped" ]; then
      rm -rf "$folder/db"; mkdir -m 700 "$folder/db"
      tables=/usr/share/mysql
      { printf '%s\n' 'create database mysql;' 'use mysql;' "SET @auth_root_socket='$me';"
        cat $tables/mysql_system_tables.sql $tables/mysql_performance_tables.sql $tables/mysql_system_tables_data.sql
      } | mariadbd --no-defaults --basedir=/usr --bootstrap --datadir="$folder/db" --user="$me" --log-warnings=0 \
            --innodb-log-file-size=16M --max-allowed-packet=8M >"$folder/log/mariadb-bootstrap.log" 2>&1 \
        || die "mariadbd --bootstrap failed; see $folder/log/mariadb-bootstrap.log"
      touch "$folder/db/.bootstrapped"
    fi
    # no TCP port: slurmdbd comes in over the socket, as this very user (unix_socket authentication)
    setsid mariadbd --no-defaults --basedir=/usr --datadir="$folder/db" --user="$me" --skip-networking \
      --socket="$folder/run/mariadb.sock" --pid-file="$folder/run/mariadbd.pid" --log-error="$folder/log/mariadbd.log" \
      --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-lock-wait-timeout=900 \
      --innodb-flush-log-at-trx-commit=0 </dev/null >/dev/null 2>&1 &
  fi
  until_ok sh -c "test -S '$folder/run/mariadb.sock' && test -s '$folder/run/mariadbd.pid'" \
    || die "mariadbd does not answer; see $folder/log/mariadbd.log"
  if ! alive slurmdbd; then
    fresh_log slurmdbd
    ( umask 077; cat > "$folder/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((port + 1))
SlurmUser=$me
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=$me
StorageLoc=slurm_acct_db
CONF
    )
    MYSQL_UNIX_PORT="$folder/run/mariadb.sock" slurmdbd
  fi
  until_ok bash -c "exec 3<>/dev/tcp/127.0.0.1/$((port + 1))" \
    || die "slurmdbd does not answer; see $folder/log/slurmdbd.log"
fi
t2=$(now)

# ---------------------------------------------------------------- slurmctld, slurmd
alive slurmctld || { fresh_log slurmctld; slurmctld -f "$SLURM_CONF"; }
until_ok scontrol ping || die "slurmctld does not answer; see $folder/log/slurmctld.log"
t3=$(now)
for ((i = 1; i <= nodes; i++)); do
  alive slurmd "slurmd-node$i" || { fresh_log "slurmd-node$i"; slurmd -N "node$i" -f "$SLURM_CONF"; }
done
# up NODE
up() {
  case "$(sinfo -h -n "$1" -p test -o %T)" in
    idle|mixed|allocated|completing) return 0 ;;
    drain*|down*) scontrol update NodeName="$1" State=RESUME; return 1 ;;   # left by an earlier bad start
    *) return 1 ;;
  esac
}
for ((i = 1; i <= nodes; i++)); do
  until_ok up "node$i" \
    || die "node$i never became idle: $(sinfo -h -o '%T %E' 2>&1); see $folder/log/slurmd-node$i.log"
done
t4=$(now)
if [ "$accounting" = dbd ]; then
  # the controller registers the cluster with slurmdbd; sacct must answer before jobs are watched
  until_ok sacct -n -X || die "sacct does not answer; see $folder/log/slurmdbd.log"
fi
t5=$(now)
awk -v a="$t0" -v b="$t1" -v c="$t2" -v d="$t3" -v e="$t4" -v f="$t5" 'BEGIN {
  printf "start-cluster: seconds: munge %.2f, accounting %.2f, slurmctld %.2f, ", b - a, c - b, d - c
  printf "slurmd and idle %.2f, sacct %.2f, total %.2f\n", e - d, f - e, f - a }'
say "up: $nodes node(s), accounting $accounting; run:  . $folder/env.sh"
