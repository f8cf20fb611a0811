#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What programs rely on: --json of every verb, exit codes, files that appear whole or not at all.
# Usage: contract.sh NORN JSON_HAS SOURCE
set -eu
norn=$1 has=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
net=$source/tests/data/verify/net/torch_digits_mlp_trained_legacy13/model.onnx
digits=$source/examples/digits/digits.npz
fail() {
    echo "FAIL: $*"
    exit 1
}
code() { # CODE COMMAND...: it exits with CODE
    want=$1
    shift
    got=0
    "$@" >out.txt 2>err.txt || got=$?
    [ "$got" = "$want" ] || fail "$*: exit code $got (wanted $want): $(cat out.txt err.txt)"
}

# JSON: one value on standard output, whatever is on standard error.
"$norn" version --json | "$has" version
"$norn" devices --json | "$has" devices.0.name devices.0.index devices.0.fp64 platforms.0.name platforms.0.devices
"$norn" devices 0 --json | "$has" name index unified_memory text
"$norn" show "$net" --json | "$has" inputs.0.name nodes.0.op nodes.0.supported parameters flops
"$norn" run "$net" --dim batch=2 --json 2>/dev/null | "$has" outputs.0.name outputs.0.type inputs.0.source
"$norn" verify "$source/tests/data/verify/simple" --json | "$has" cases.0.name cases.0.status cases.0.host_nodes passed failed unsupported
"$norn" convert "$net" a.onnx --json | "$has" out opset_out
"$norn" bench op 'Relu(float[100])' --repeat 3 --json |
    "$has" results.0.name results.0.device results.0.median_ms results.0.best_ms results.0.correct results.0.max_error
"$norn" bench model "$net" --repeat 3 --json 2>/dev/null | "$has" results.0.median_ms results.0.correct
"$norn" bench train "$net" --batch 4 --loss cross-entropy --optimizer sgd --repeat 3 --json | "$has" results.0.median_ms results.0.correct
"$norn" train mlp --data "$digits:train" --out b.onnx --steps 3 --log log.csv --json | "$has" parameters.0.name parameters.0.trained training.optimizer training.lr training.batch training.loss training.seed steps loss out

# The log: a header, a line a step, numbers that read back as the same float.
[ "$(head -n 1 log.csv)" = step,loss ] || fail "log.csv: header"
[ "$(wc -l <log.csv)" = 4 ] || fail "log.csv: $(wc -l <log.csv) lines (wanted 4)"
[ "$(cut -d, -f1 log.csv | tr '\n' ' ')" = "step 1 2 3 " ] || fail "log.csv: steps"

# Same seed, same file; another seed, another.
"$norn" train mlp --data "$digits:train" --out c.onnx --steps 3 >/dev/null
cmp b.onnx c.onnx || fail "the same seed gave another network"
"$norn" train mlp --data "$digits:train" --out c.onnx --steps 3 --seed 1 >/dev/null
cmp -s b.onnx c.onnx && fail "another seed gave the same network"

# Exit codes.
code 0 "$norn" --help
code 2 "$norn"
code 2 "$norn" no-such-verb
code 2 "$norn" run --no-such-option "$net"
code 8 "$norn" run none.onnx
code 9 "$norn" run --device no-such-device "$net"
code 7 "$norn" show "$digits"
code 0 "$norn" verify "$source/tests/data/verify/simple"
code 1 "$norn" verify --rtol 0 --atol 0 "$source/tests/data/verify/net/torch_digits_mlp_trained_legacy13"
code 3 "$norn" verify "$work"
# Errors of programs that read JSON are JSON too, also where the command line is wrong.
json_error() { # CODE WORD COMMAND...
    want=$1 word=$2
    shift 2
    code "$want" "$@" --json
    "$has" error exit_code <out.txt || fail "$*: no error in JSON: $(cat out.txt)"
    grep -q "$word" out.txt || fail "$*: the error does not say '$word': $(cat out.txt)"
}
json_error 8 none.onnx "$norn" run none.onnx
json_error 8 none.onnx "$norn" convert none.onnx to.onnx
json_error 2 no-such-option "$norn" plan --no-such-option
json_error 2 wanted "$norn" verify
json_error 3 nonsense "$norn" bench op 'Relu(float[3])' --implementations nonsense
json_error 3 nonsense "$norn" bench op 'MatMul(float[3,3], float[3,3])' --implementations Relu=nonsense
json_error 8 none.npz "$norn" train mlp --data none.npz --out to.onnx
# Of several models each has its place in the list, those that failed with the reason.
mkdir several
"$norn" convert "$net" several/a.onnx --no-certificate >/dev/null
echo damaged >several/b.onnx
code 7 "$norn" convert several converted --no-certificate --json
"$has" models.0.out models.1.in models.1.error converted failed <out.txt || fail "convert names no failed model: $(cat out.txt)"
grep -q '"in":.*"several/b.onnx"' out.txt || fail "convert names no failed model: $(cat out.txt)"
# A size that a file contradicts, labels that do not fit, several devices where one is wanted: each is an error.
"$norn" convert "$net" plain.onnx --no-certificate >/dev/null
data=$source/tests/data/verify/net/torch_digits_mlp_trained_legacy13/test_data_set_0/input_0.pb
code 2 "$norn" run "$net" --input "input=$data" --dim batch=99999
grep -q 'wanted batch=99999' err.txt || fail "--dim against a file: $(cat err.txt)"
printf 'a\nb\n' >two.txt
code 2 "$norn" run "$net" --labels two.txt
grep -q 'got 2 labels (wanted 10' err.txt || fail "two labels: $(cat err.txt)"
seq -f class%g 0 9 >ten.txt
"$norn" run "$net" --labels ten.txt 2>/dev/null | grep -q ' %  [0-9]  class[0-9]$' || fail "no labels in the output"
code 2 "$norn" run --device all "$net"
code 1 "$norn" verify plain.onnx
[ "$(grep -o plain.onnx out.txt | wc -l)" = 1 ] || fail "verify names the file twice: $(cat out.txt)"
"$norn" --help | grep -q NORN_CACHE_DIR || fail "--help names no NORN_CACHE_DIR"
# An output of NaN alone has neither a least nor a mean.
{
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 64), }"
    i=0
    while [ $i -lt 64 ]; do
        printf '\000\000\300\177'
        i=$((i + 1))
    done
} >nan.npy
"$norn" run "$net" --input "input=nan.npy" --json >out.txt 2>/dev/null
grep -q '"mean":.*null' out.txt || fail "the mean of NaN: $(cat out.txt)"
grep -q '"class"' out.txt && fail "classes of NaN were put in order: $(cat out.txt)"
"$norn" run "$net" --input "input=nan.npy" 2>/dev/null | grep -q 'no order: a score is NaN' || fail "NaN were put in order"
# A cache folder that is none is said once.
NORN_CACHE="" NORN_CACHE_DIR=$PWD/two.txt "$norn" run "$net" --input "input=nan.npy" >/dev/null 2>err.txt
[ "$(grep -c NORN_CACHE_DIR err.txt)" = 1 ] || fail "no word of the cache folder: $(cat err.txt)"
for verb in devices train run verify bench convert show version; do
    code 0 "$norn" $verb --help
    [ -s err.txt ] && fail "$verb --help: wrote to standard error"
done
code 9 env OCL_ICD_VENDORS="$work/none" NORN_DEVICE= "$norn" run "$net"
grep -q 'install pocl-opencl-icd' err.txt || fail "no device: names no package: $(cat err.txt)"

# Training: what cannot be right is said before it, and what went wrong is not saved.
cp b.onnx keep.onnx
code 2 "$norn" train mlp --data "$digits:train" --out keep.onnx --scale 0
code 2 "$norn" train mlp --data "$digits:train" --out keep.onnx --beta1 1.5
code 2 "$norn" train mlp --data "$digits:train" --out keep.onnx --optimizer nesterov --momentum 0
code 3 "$norn" train keep.onnx --data "$digits:train" --out keep.onnx --optimizer sgd --lr 1e38 --steps 20
grep -q 'the loss is ' err.txt || fail "no word of the loss: $(cat err.txt)"
cmp b.onnx keep.onnx || fail "a network without numbers replaced another"

# A label that is no class is named with its sample, also for a network that is yet to be made.
code 3 "$norn" train mlp --data "$source/tests/data/sets/signs.npz" --out label.onnx --steps 1
grep -q 'label -1 at sample 0' err.txt || fail "no word of the label: $(cat err.txt)"

# A signal ends training after the step: what was reached is saved whole, and the exit code says so.
for signal in INT TERM; do
    rm -f stopped.onnx
    (
        trap - INT TERM
        exec "$norn" train mlp --data "$digits:train" --out stopped.onnx --epochs 1000000 --log stopped.csv
    ) >out.txt 2>err.txt &
    pid=$!
    i=0
    until [ -s stopped.csv ] && grep -q '^epoch 1' out.txt; do
        i=$((i + 1))
        [ $i -lt 1200 ] || fail "training does not get on: $(cat out.txt err.txt)"
        sleep 0.1
    done
    kill -s "$signal" $pid
    got=0
    wait $pid || got=$?
    [ "$got" = $((128 + $([ $signal = INT ] && echo 2 || echo 15))) ] || fail "SIG$signal: exit code $got: $(cat err.txt)"
    grep -q 'interrupted after step .* stopped.onnx has what was reached' err.txt || fail "SIG$signal: $(cat err.txt)"
    code 0 "$norn" run stopped.onnx
    rm -f stopped.csv
done

# A place that cannot be written is said before training; a model is not replaced by its gradient.
mkdir folder.onnx
code 8 "$norn" train mlp --data "$digits:train" --out folder.onnx --steps 1
grep -q 'is a folder' err.txt || fail "a folder as --out: $(cat err.txt)"
code 2 "$norn" grad keep.onnx keep.onnx
cmp b.onnx keep.onnx || fail "a model was replaced by its gradient"
code 3 "$norn" plan keep.onnx --dim N=0

# A meta.json that cannot be used fails the case.
mkdir -p meta
cp -r "$source/tests/data/verify/node/test_and4d" meta/case
code 0 "$norn" verify meta
for text in '{bad' '' '{"tolerance": 1}' '{"tolerance": {"rtol": -1}}' '{"tolerance_grad": {"atol": "x"}}'; do
    echo "$text" >meta/case/meta.json
    code 1 "$norn" verify meta
    grep -q '^FAIL .*meta.json: ' out.txt || fail "meta.json '$text': $(cat out.txt)"
done

# An input more than the model has is not passed over.
rm meta/case/meta.json
cp meta/case/test_data_set_0/input_1.pb meta/case/test_data_set_0/input_2.pb
code 1 "$norn" verify meta
grep -q '^unsupported .*input_2.pb is one more' out.txt || fail "an input more: $(cat out.txt)"

# What is missing is said once.
mkdir -p missing/test_data_set_0
cp "$source/tests/data/onnx/functions_kept.onnx" missing/model.onnx
cp "$source/tests/data/verify/contents/if_sequence_False/test_data_set_0/input_0.pb" missing/test_data_set_0
code 1 "$norn" verify missing
[ "$(grep -o local.Opaque out.txt | wc -l)" = 1 ] || fail "a missing operator is not named once: $(cat out.txt)"

# Names of classes: printed, kept in the file, the same in both data sets.
mkdir -p pictures/cat pictures/dog val/dog
for file in pictures/cat/1.png pictures/dog/2.png val/dog/3.png; do
    cp "$source/tests/data/png/grey8.png" $file
done
code 0 "$norn" train mlp --data pictures --out pictures.onnx --steps 1
grep -q '^classes: 0 cat, 1 dog$' out.txt || fail "no names of classes: $(cat out.txt)"
"$norn" show pictures.onnx --json >out.txt
grep -q '"norn.classes":.*"cat\\ndog"' out.txt || fail "no names of classes in the file: $(cat out.txt)"
code 0 "$norn" run pictures.onnx
grep -qE '(cat|dog)$' out.txt || fail "run does not name the class: $(cat out.txt)"
code 3 "$norn" train mlp --data pictures --val val --out pictures.onnx --steps 1
grep -q "class 0 is 'cat' in pictures and 'dog' in val" err.txt || fail "other classes: $(cat err.txt)"

# Output that cannot be written whole leaves what was there, and nothing else.
echo before >d.onnx
mkdir files
(ulimit -f 1 && trap '' XFSZ && cd files && ! "$norn" convert "$net" ../d.onnx 2>../err.txt) || fail "a full disk went unnoticed"
grep -q 'd.onnx' err.txt || fail "a full disk: the message names no file: $(cat err.txt)"
[ "$(cat d.onnx)" = before ] || fail "d.onnx was damaged"
find . -name '.*' -type f | grep -q . && fail "temporary files stay behind"
"$norn" run "$net" --dim batch=2 --output-dir out >/dev/null 2>&1
[ -s out/logits.npy ] || fail "no out/logits.npy"
# A pipe that closes early and a full device are noticed.
code 8 sh -c "'$norn' show '$net' >/dev/full"
echo "all as promised"
