#!/usr/bin/env bash
# The published example end to end, from a fresh clone: digits to TFRecords, LeNet-5 at 75 x 75, its
# TensorBoard log, its evaluation and the diagrams of 40 test digits.
#
#   bash tools/run_mnist.sh [FOLDER [OPTION OF TRAIN]...]
#
# FOLDER is mnist-output by default; what an earlier run left in it is replaced. With PUBLISHED=1 the
# records are one file, and the training takes the published values, made for all of MNIST.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

output=${1:-mnist-output}
shift $(($# > 0))
if [ "${PUBLISHED:-}" ]; then
    shards=1
    options=(--num-epochs 3 --learning-rate 1e-5)
else
    # For the 5,000 digits that there are offline: 3,000 of them train, and 3 epochs at 1e-5 hardly
    # begin to. Records in several files are shuffled anew for each epoch.
    shards=10
    options=(--num-epochs 24 --learning-rate 3e-4 --batch-normalization --seed 1)
fi

make_environment train --editable '.[training]'
micam_fast() { "$python" -m micam_fast "$@"; }

rm -rf "$output/records" "$output/log"
micam_fast tfrecord mnist --output-dir "$output/records" --height 75 --width 75 --shards "$shards"
micam_fast train --data-dir "$output/records" --log-dir "$output/log" --cnn-model lenet5 \
    --classes 10 --window-size 1 --height 75 --width 75 --batch-size 64 --samples 40 \
    "${options[@]}" "$@"
grep --max-count 1 '"accuracy"' "$output/log/evaluation.json" | sed 's/[ ",]*//g; s/:/ of the test: /'
echo "diagrams: $(find "$output/log/MCAM" -name '*.png' | wc -l) in $output/log/MCAM"
echo "curves: $(dirname "$python")/tensorboard --logdir $output/log"
