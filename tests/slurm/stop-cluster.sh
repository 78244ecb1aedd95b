#!/usr/bin/env bash
# Stop what start-cluster.sh started: cancel the jobs, end the daemons that the pid files name (only where that pid
# still is that program), then kill what the cluster's jobs have left. With --purge, remove the folder too.
#   HARNESS_SLURM_DIR      the cluster's folder (default: /tmp/harness-slurm-<user>)
#   HARNESS_SLURM_TIMEOUT  seconds to wait for each daemon, and for the jobs, before killing (default: 30)
# Exit status: 1 if a daemon had to be killed.
set -uo pipefail
folder=$(realpath -m "${HARNESS_SLURM_DIR:-/tmp/harness-slurm-$(id -un)}")
timeout=${HARNESS_SLURM_TIMEOUT:-30}
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$folder/slurm.conf
[ -d "$folder" ] || exit 0

say() { printf 'stop-cluster: %s\n' "$*"; }
# live PID NAME: that process exists, is no zombie, and is that program
live() {
  awk -v n="$2" '/^Name:/{ok=($2==n)} /^State:/{if($2=="Z"||$2=="X")ok=0} END{exit !ok}' "/proc/$1/status" 2>/dev/null
}
# pid_of NAME PIDFILE: print the pid if the pid file names a live process of that name
pid_of() {
  local pid; pid=$(cat "$folder/run/$2.pid" 2>/dev/null) && [ -n "$pid" ] && live "$pid" "$1" && echo "$pid"
}
unfinished() { [ -n "$(squeue -h -t running,completing 2>/dev/null)" ]; }
# in_jobs: print the pids of what runs in this cluster's jobs: it has both marks in its environment
in_jobs() {
  grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null \
    | xargs -r grep -lz '^SLURM_JOB_ID=' 2>/dev/null | cut -d/ -f3 | grep -vx "$$"
}

# Jobs outlive slurmd (slurmstepd is a process of its own), so they are cancelled first. Nobody waits for their last
# words: killed, they end at once, where scancel alone gives a job that is deaf to SIGTERM its KillWait several times
# over. srun is spared: slurmstepd would try for seconds to tell it of the end.
if pid_of slurmctld slurmctld >/dev/null && scontrol ping >/dev/null 2>&1; then
  scancel --me
  end=$((SECONDS + timeout))
  while unfinished && [ $SECONDS -lt $end ]; do
    for pid in $(in_jobs); do live "$pid" srun || kill -KILL "$pid" 2>/dev/null; done
    sleep 0.1
  done
fi
status=0
for file in "$folder"/run/slurmd-*.pid slurmctld slurmdbd mariadbd munged; do
  file=$(basename "$file" .pid); name=${file%%-*}
  pid=$(pid_of "$name" "$file") || continue
  kill -TERM "$pid" 2>/dev/null
  end=$((SECONDS + timeout))
  while live "$pid" "$name"; do
    if [ $SECONDS -ge $end ]; then kill -KILL "$pid" 2>/dev/null; status=1; break; fi
    sleep 0.05
  done
  rm -f "$folder/run/$file.pid"
  say "$name ($pid) stopped"
done

# slurmstepd has overwritten its environment, but works in the cluster's log folder.
steps() {
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd" 2>/dev/null)" in
      "$folder"/*) live "${process#/proc/}" slurmstepd && echo "${process#/proc/}" ;;
    esac
  done
}
for pid in $(steps) $(in_jobs); do
  kill -KILL "$pid" 2>/dev/null && say "killed what a job had left: $pid"
done
if [ "${1:-}" = --purge ]; then rm -rf "$folder" || { sleep 0.5; rm -rf "$folder"; }; fi
exit $status
