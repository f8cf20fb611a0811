/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_parts.h"

/* `quick` ones are the first of their kind: a run of --quick takes them only. */
const bench_shape gemm_shapes[] = {
    {"cube-512", "MatMul(float[512,512], float[512,512])", true},
    {"cube-1024", "MatMul(float[1024,1024], float[1024,1024])", true},
    {"cube-2048", "MatMul(float[2048,2048], float[2048,2048])", false},
    {"odd-1000", "MatMul(float[999,1001], float[1001,997])", false},
    {"resnet50-fc-b1", "Gemm<transB=1>(float[1,2048], float[1000,2048], float[1000])", true},
    {"resnet50-fc-b16", "Gemm<transB=1>(float[16,2048], float[1000,2048], float[1000])", false},
    {"vgg16-fc1-b1", "Gemm<transB=1>(float[1,25088], float[4096,25088], float[4096])", false},
    {"bert-projection", "MatMul(float[128,768], float[768,768])", true},
    {"bert-ffn-in", "MatMul(float[128,768], float[768,3072])", false},
    {"bert-ffn-out", "MatMul(float[128,3072], float[3072,768])", false},
    {"bert-scores", "MatMul(float[12,128,64], float[12,64,128])", true},
    {"lstm-input", "Gemm<transB=1>(float[512,256], float[1024,256], float[1024])", true},
    {"lstm-step", "Gemm<transB=1>(float[16,256], float[1024,256], float[1024])", false},
    {NULL, NULL, false}};

const bench_shape conv_shapes[] = {
    {"resnet50-7x7-s2", "Conv<strides=[2,2], pads=[3,3,3,3]>(float[1,3,224,224], float[64,3,7,7])", true},
    {"resnet50-1x1-64-256", "Conv(float[1,64,56,56], float[256,64,1,1])", true},
    {"resnet50-3x3-64", "Conv<pads=[1,1,1,1]>(float[1,64,56,56], float[64,64,3,3])", true},
    {"resnet50-3x3-128", "Conv<pads=[1,1,1,1]>(float[1,128,28,28], float[128,128,3,3])", false},
    {"resnet50-3x3-256", "Conv<pads=[1,1,1,1]>(float[1,256,14,14], float[256,256,3,3])", false},
    {"resnet50-3x3-512", "Conv<pads=[1,1,1,1]>(float[1,512,7,7], float[512,512,3,3])", false},
    {"resnet50-1x1-s2", "Conv<strides=[2,2]>(float[1,256,56,56], float[512,256,1,1])", false},
    {"mobilenetv2-expand", "Conv(float[1,24,56,56], float[144,24,1,1])", true},
    {"mobilenetv2-depthwise", "Conv<group=144, pads=[1,1,1,1]>(float[1,144,56,56], float[144,1,3,3])", true},
    {"mobilenetv2-depthwise-s2",
     "Conv<group=96, strides=[2,2], pads=[1,1,1,1]>(float[1,96,112,112], float[96,1,3,3])", false},
    {"mobilenetv2-project", "Conv(float[1,144,56,56], float[24,144,1,1])", false},
    {"vgg16-3x3-64", "Conv<pads=[1,1,1,1]>(float[1,64,224,224], float[64,64,3,3])", false},
    {"vgg16-3x3-512", "Conv<pads=[1,1,1,1]>(float[1,512,28,28], float[512,512,3,3])", false},
    {NULL, NULL, false}};
