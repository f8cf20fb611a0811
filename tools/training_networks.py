# SPDX-License-Identifier: Apache-2.0
"""Networks that tools/performance.py trains, as ONNX files and as the same in PyTorch: sizes as in tutorials, and odd ones."""


def mlp(sizes):
    def layers(n):
        x = "x"
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            x = n.op("Gemm", [x, n.weight([b, a], a), n.weight([b], a)], transB=1)
            x = n.op("Relu", [x]) if i < len(sizes) - 2 else x
        return x

    def twin(nn):
        made = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*made[:-1])

    return layers, twin, sizes[:1]


def lenet(first, second, hidden, side):
    flat = second * (((side - 4) // 2 - 4) // 2) ** 2

    def layers(n):
        x, c = "x", 1
        for m in (first, second):
            x = n.op("Relu", [n.op("Conv", [x, n.weight([m, c, 5, 5], 25 * c), n.weight([m], 25 * c)])])
            x, c = n.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), m
        x = n.op("Flatten", [x])
        x = n.op("Relu", [n.op("Gemm", [x, n.weight([hidden, flat], flat), n.weight([hidden], flat)], transB=1)])
        return n.op("Gemm", [x, n.weight([10, hidden], hidden), n.weight([10], hidden)], transB=1)

    def twin(nn):
        return nn.Sequential(nn.Conv2d(1, first, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    return layers, twin, [1, side, side]


def resnet18(width):
    plan = [(width << i, 2 if i and not j else 1) for i in range(4) for j in range(2)]

    def layers(n):
        def conv(x, c, m, k, stride):
            x = n.op("Conv", [x, n.weight([m, c, k, k], k * k * c)], strides=[stride] * 2, pads=[k // 2] * 4)
            return n.op("BatchNormalization", [x, n.constant([m], 1), n.constant([m], 0), n.constant([m], 0), n.constant([m], 1)])

        x, c = n.op("Relu", [conv("x", 3, width, 3, 1)]), width
        for m, stride in plan:
            y = conv(n.op("Relu", [conv(x, c, m, 3, stride)]), m, m, 3, 1)
            short = x if c == m else conv(x, c, m, 1, stride)
            x, c = n.op("Relu", [n.op("Add", [y, short])]), m
        x = n.op("Flatten", [n.op("GlobalAveragePool", [x])])
        return n.op("Gemm", [x, n.weight([10, c], c), n.weight([10], c)], transB=1)

    def twin(nn):
        def conv(c, m, k, stride):
            return nn.Sequential(nn.Conv2d(c, m, k, stride, k // 2, bias=False), nn.BatchNorm2d(m))

        class Block(nn.Module):
            def __init__(self, c, m, stride):
                super().__init__()
                self.way = nn.Sequential(conv(c, m, 3, stride), nn.ReLU(), conv(m, m, 3, 1))
                self.short = nn.Identity() if c == m else conv(c, m, 1, stride)

            def forward(self, x):
                return (self.way(x) + self.short(x)).relu()

        made, c = [conv(3, width, 3, 1), nn.ReLU()], width
        for m, stride in plan:
            made.append(Block(c, m, stride))
            c = m
        return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))

    return layers, twin, [3, 32, 32]


def recurrent(kind, gates, steps, inputs, hidden):
    def layers(n):
        x = n.op("Transpose", ["x"], perm=[1, 0, 2])
        given = [x, n.weight([1, gates * hidden, inputs], hidden), n.weight([1, gates * hidden, hidden], hidden),
                 n.weight([1, 2 * gates * hidden], hidden)]
        more = {"linear_before_reset": 1} if kind == "GRU" else {}
        last = n.op("Squeeze", [n.op(kind, given, output=1, hidden_size=hidden, **more), n.indices([0])])
        return n.op("Gemm", [last, n.weight([10, hidden], hidden), n.weight([10], hidden)], transB=1)

    def twin(nn):
        class Last(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.out = getattr(nn, kind)(inputs, hidden, batch_first=True), nn.Linear(hidden, 10)

            def forward(self, x):
                return self.out(self.layer(x)[0][:, -1])

        return Last()

    return layers, twin, [steps, inputs]


NETWORKS = {  # name: (layers, the same in PyTorch, shape of a sample), batch, optimizer
    "MLP 784-512-512-10": (mlp([784, 512, 512, 10]), 64, "momentum"),
    "MLP 100-333-217-90-45-10": (mlp([100, 333, 217, 90, 45, 10]), 37, "adamw"),
    "LeNet, 20 and 50 channels": (lenet(20, 50, 500, 28), 64, "momentum"),
    "LeNet, 6 and 16 channels": (lenet(6, 16, 84, 32), 50, "adam"),
    "ResNet-18, CIFAR form": (resnet18(64), 32, "momentum"),
    "ResNet-18, 24 to 192 channels": (resnet18(24), 19, "momentum"),
    "LSTM, 64 steps of 64, 256 units": (recurrent("LSTM", 4, 64, 64, 256), 32, "momentum"),
    "GRU, 31 steps of 40, 150 units": (recurrent("GRU", 3, 31, 40, 150), 21, "adam"),
}


class Network:
    """Nodes and initialisers of an ONNX graph."""

    def __init__(self):
        import numpy

        self.np, self.random, self.nodes, self.initializers = numpy, numpy.random.default_rng(5), [], []

    def _add(self, values):
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(values, f"w{len(self.initializers)}"))
        return self.initializers[-1].name

    def weight(self, shape, fan_in):
        return self._add(((self.random.random(shape) * 2 - 1) / fan_in**0.5).astype("float32"))

    def constant(self, shape, value):
        return self._add(self.np.full(shape, value, "float32"))

    def indices(self, values):
        return self._add(self.np.array(values, "int64"))

    def op(self, kind, inputs, output=0, **attributes):
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [""] * output + [name], **attributes))
        return name


def write(name, path):
    from onnx import TensorProto, helper, save

    (layers, _, sample), _, _ = NETWORKS[name]
    n = Network()
    out = layers(n)
    graph = helper.make_graph(n.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"] + sample)],
                              [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["N", 10])], n.initializers)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def step(name, threads):
    """A training step of the network in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    (_, twin, sample), batch, optimizer = NETWORKS[name]
    model = twin(torch.nn)
    x, y = torch.rand([batch] + sample), torch.randint(0, 10, [batch])
    made = {"momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
            "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3)}[optimizer](model.parameters())

    def run():
        made.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        made.step()

    return run
