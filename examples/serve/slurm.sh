#!/bin/bash
# A host of envs on each of two nodes of Slurm, and where they listen for a learner elsewhere:
#   sbatch examples/serve/slurm.sh CartPole-v1
#   remotes=$(cat envring-JOBID/remotes)
#SBATCH --job-name=envring-serve
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

env_id=${1:?which env?}
folder=$PWD/envring-$SLURM_JOB_ID # on a file system that the learner's machine has, too
(umask 077 && mkdir -p "$folder" && head -c 32 /dev/urandom | base64 | tr -d '/+=\n' > "$folder/key")

# certificates for these nodes; without --client-ca the key alone admits a caller
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
envring serve cert "${nodes[@]}" --directory "$folder/certs"

# each writes its address when it listens; Slurm's SIGTERM lets sessions end in their time
srun --kill-on-bad-exit=0 bash -c 'exec envring serve "$1" --listen "tls://$SLURMD_NODENAME:0" \
    --cert "$2/certs/server.pem" --certkey "$2/certs/server.key" --key "file:$2/key" \
    --ready-file "$2/ready-$SLURM_PROCID" --drain 100' _ "$env_id" "$folder" &

while [ "$(find "$folder" -name 'ready-*' ! -name '*.part' | wc -l)" -lt "$SLURM_NTASKS" ]; do
    kill -0 $! # they have not ended meanwhile
    sleep 1
done
options="?ca=$folder/certs/ca.pem&key=file:$folder/key"
cat "$folder"/ready-* | while read -r url; do echo "$url$options"; done | paste -sd, > "$folder/remotes.part"
mv "$folder/remotes.part" "$folder/remotes"
wait
