#!/usr/bin/env bash
# Run all six commands on synthetic people, offline, with scing-small, a small CLIP that comes with scing. This takes a few minutes on
# two cores. All files are written into a new folder.
# Usage: bash examples/quickstart.sh [FOLDER]
set -euo pipefail

examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-quickstart-$(date +%Y%m%d-%H%M%S)}
if [ -e "$folder" ]; then
  echo "$folder already exists; name a new folder: bash examples/quickstart.sh FOLDER" >&2
  exit 2
fi
mkdir -p "$folder"
cd "$folder"

say() {
  local shown='$' word
  for word; do case $word in *' '*) shown+=" \"$word\"" ;; *) shown+=" $word" ;; esac; done
  printf '\n\033[1m%s\033[0m\n' "$shown" >&2
  "$@"
}

synthetic=(--synthetic --identities 256 --test-identities 48 --cameras 4 --images-per-camera 2 --occluded-training 0.5)
say scing prepare plain "${synthetic[@]}"
say scing prepare occluded "${synthetic[@]}" --occluded-queries
say scing train-prompts --data plain --model scing-small --views bank:4 --epochs 12 --lr 3e-3 --schedule cosine --run runs/plain
say scing train-visual --run runs/plain --epochs 8 --lr 2.5e-4 --schedule cosine --warmup-epochs 1 --batch-size 64
say scing embed --run runs/plain --output gallery.faiss

for queries in plain occluded; do
  say scing evaluate --model scing-small --data "$queries" --json > "zero-shot-$queries.json"
  say scing evaluate --run runs/plain --data "$queries" --split query --json > "trained-$queries.json"
done

photos=(plain/query/*.jpg)
say scing search "${photos[0]}" --index gallery.faiss --exclude-camera 1 --montage ranking.png

python "$examples/table.py" "48 drawn people that neither training met, 4 cameras, seed 0" \
  "zero-shot, plain queries=zero-shot-plain.json" "stage 1 + 2, plain queries=trained-plain.json" \
  "zero-shot, occluded queries=zero-shot-occluded.json" "stage 1 + 2, occluded queries=trained-occluded.json"
say scing search --text "a person in a black and yellow hoodie and beige trousers with a navy backpack" \
  --index gallery.faiss --montage words.png
printf '\nDrawn people are not photographs: the table shows that all steps work, not how good SCING is on real data.\n'
printf 'Everything is in %s\nThe rankings: %s/ranking.png (a photo), %s/words.png (words)\n' "$PWD" "$PWD" "$PWD"
printf 'To continue: cd %s && scing evaluate --output report\n' "$folder"
