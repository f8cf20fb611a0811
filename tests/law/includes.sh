#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder includes only from those before it in the layer order; tools/ and examples/ only <norn.h>. Usage: includes.sh ROOT
cd "$1" || exit 2
bad=0
allowed=""
for layer in base backend ops graph symbolic export train bench; do
    allowed="$allowed${allowed:+|}$layer"
    found=$(grep -rnE '^#include "' --include='*.[ch]' "$layer" 2>/dev/null | grep -vE "#include \"(($allowed)/|onnx\.pb-c\.h\")") && {
        echo "$found"
        bad=1
    }
done
found=$(grep -rnE '^#include "' --include='*.[ch]' tools examples 2>/dev/null | grep -vE '^tools/[^:]*:[0-9]+:#include "tools/|^tools/[^:]*:[0-9]+:#include "[a-z_]+\.h"') && {
    echo "$found"
    bad=1
}
[ $bad = 0 ] || echo "These includes break the layer order base < backend < ops < graph < symbolic < export < train < bench."
exit $bad
