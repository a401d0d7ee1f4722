#!/usr/bin/env bash
# All six commands on a drawn world, offline, with a small model that starts from random weights: a few minutes on two
# cores. Everything is written into a new folder.
# Usage: bash examples/quickstart.sh [FOLDER]
set -euo pipefail

folder=${1:-quickstart-$(date +%Y%m%d-%H%M%S)}
if [ -e "$folder" ]; then
  echo "$folder exists; name a new folder: bash examples/quickstart.sh FOLDER" >&2
  exit 2
fi
mkdir -p "$folder"
cd "$folder"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

say scing prepare world --synthetic --identities 64 --cameras 4 --images-per-camera 2
say scing train-prompts --data world --model scing-tiny --pretrained random --epochs 6 --lr 1e-2 --run run
say scing train-visual --run run --epochs 40 --lr 1e-3 --milestones 28,36 --warmup-epochs 2
say scing embed --run run --output gallery.faiss
say scing evaluate --model scing-tiny --pretrained random --data world
say scing evaluate --run run --split query
photo=$(find world/query -name '*.jpg' | sort | head -n 1)
say scing search "$photo" --index gallery.faiss --exclude-camera 1 --montage ranking.png

printf '\nThe model began with random weights and saw 512 drawn images: compare its two tables above, and expect no more of it.\n'
printf 'Everything is in %s\nThe ranking: %s/ranking.png\n' "$PWD" "$PWD"
