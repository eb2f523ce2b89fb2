#!/usr/bin/env python3
"""Sparse networks on one NVIDIA GPU: spconv, spconv-triton, gather + cuBLAS + scatter in PyTorch, and rarefy.torch, in turns.

    bench_gpu.py --data FOLDER --out RESULTS.json [--models minkunet_w0.5,minkunet_w1.0,spvcnn_w1.0,centerpoint]
                 [--peers gather_cublas,spconv,spconv_folded,rarefy,rarefy_session] [--train] [--rounds 15] [--weights FOLDER]

Every implementation gets the same network (networks.py), weights and scans, and must agree with gather + cuBLAS + scatter in
float32 before it is timed. Inference: one scan, fp16 weights and features (.half()), eval(). Norms and ReLU are layers of
PyTorch, as users have them; spconv_folded has the norms in the weights and the ReLUs in spconv's convolutions. Coordinates
are new each time: maps are made in every run. Training: two scans, torch.autocast(float16), cross-entropy (mean square for
the encoder), GradScaler, SGD with momentum.

Times are medians in ms of runs that alternate between implementations and scans; `events` by CUDA events, `wall` from call to
synchronised end. net: from voxels on the GPU to logits; whole: from points on the GPU, voxelized by PyTorch (scans.voxelize).
busy: the sum over kernels and copies as the profiler sees it, of one run; wall minus busy is what the host costs. maps: the
part of spconv's and gather's time that makes maps. rarefy is rarefy.torch in the same network; rarefy_session is rarefy's own
program, from points in host memory to labels and logits in host memory. --weights writes what the networks were given, under
names that `rarefy convert` knows, with the logits of the reference, so that other programs can be held against them.
"""
import argparse
import contextlib
import importlib
import json
import os
import statistics
import sys
import time
import traceback

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gather_cublas  # noqa: E402
import networks  # noqa: E402
import scans  # noqa: E402

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
BOUND = 2e-2  # relative error in fp16 against float32: whether a result is within it is said; above five times it, nothing is timed


class Peer:
    def __init__(self, name):
        self.name = name
        module = {"gather_cublas": "gather_cublas", "spconv": "spconv.pytorch", "spconv_folded": "spconv.pytorch",
                  "spconv_triton": "spconv_triton.pytorch", "rarefy": "rarefy.torch.spconv",
                  "gather_cublas_folded": "gather_cublas", "rarefy_folded": "rarefy.torch.spconv"}[name]
        self.sp = importlib.import_module(module)
        self.folded = name.endswith("_folded")
        top = sys.modules[module.split(".")[0]]
        self.version = getattr(top, "__version__", torch.__version__)

    def fuse(self):
        if self.name != "spconv_folded":
            return None
        from cumm import tensorview
        return lambda conv: setattr(conv, "act_type", tensorview.gemm.Activation.ReLU)

    def net(self, model, state, half):
        net = networks.build(model, self.sp, self.folded)
        net.load_state_dict(state)
        net.eval()
        if self.folded:
            networks.fold(net, self.fuse())
        return (net.half() if half else net).to(DEVICE)

    def tensor(self, features, indices, shape, batches=1):
        return self.sp.SparseConvTensor(features, indices, shape, batches)

    @contextlib.contextmanager
    def timing_maps(self, spans):
        """Events around what makes maps."""
        if self.name.startswith("gather"):
            places = [(gather_cublas, "submanifold"), (gather_cublas, "strided")]
        elif self.name.startswith("spconv"):
            places = [(importlib.import_module(self.sp.__name__ + ".ops"), "get_indice_pairs_implicit_gemm")]
        else:
            places = []
        kept = [getattr(module, name) for module, name in places]

        def wrapped(make):
            def call(*a, **k):
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
                result = make(*a, **k)
                end.record()
                spans.append((begin, end))
                return result
            return call

        for (module, name), make in zip(places, kept):
            setattr(module, name, wrapped(make))
        try:
            yield bool(places)
        finally:
            for (module, name), make in zip(places, kept):
                setattr(module, name, make)


class SessionPeer:
    """rarefy's own program on the same weights: from points in host memory to labels and logits in host memory."""

    name = "rarefy_session"

    def __init__(self):
        import rarefy
        self.rarefy, self.version = rarefy, rarefy.__version__

    def open(self, model, net, voxel_size):
        name, width = model.split("_w")
        fresh = self.rarefy.build(name, width=float(width))
        pipeline = {**fresh.pipeline, "voxel_size": [voxel_size] * 3, "rounding": "round_minus_min", "reduction": "first"}
        fresh = self.rarefy.build(name, width=float(width), pipeline=pipeline)
        weights = networks.rarefy_weights(net)
        weights = {key: value.reshape(fresh.weights[key].shape) for key, value in weights.items()}
        full = self.rarefy.Model(fresh.graph, weights, pipeline=pipeline)
        return full.session(threads=os.cpu_count(), device="cuda" if CUDA else "cpu")


def wait():
    if CUDA:
        torch.cuda.synchronize()


def once(call):
    """Milliseconds by events and by the clock."""
    wait()
    if not CUDA:
        begin = time.perf_counter()
        call()
        ms = 1e3 * (time.perf_counter() - begin)
        return ms, ms
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin = time.perf_counter()
    first.record()
    call()
    last.record()
    torch.cuda.synchronize()
    wall = 1e3 * (time.perf_counter() - begin)
    return first.elapsed_time(last), wall


def spread(pairs):
    events, walls = [e for e, _ in pairs], [w for _, w in pairs]
    return {"events_ms": round(statistics.median(events), 4), "wall_ms": round(statistics.median(walls), 4),
            "wall_min_ms": round(min(walls), 4), "wall_max_ms": round(max(walls), 4), "runs": len(pairs)}


def busy(call):
    """What the GPU does in one run: ms, number of kernels and copies, the longest of them; None where nothing can say."""
    if not CUDA:
        return None
    try:
        call()
        wait()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            call()
            wait()
        total, count, by_name = 0.0, 0, {}
        for event in profile.events():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                took = event.time_range.elapsed_us()
                total, count = total + took, count + 1
                n, t = by_name.get(event.name[:100], (0, 0.0))
                by_name[event.name[:100]] = (n + 1, t + took)
        top = sorted(by_name.items(), key=lambda item: -item[1][1])[:12]
        return {"busy_ms": round(total / 1e3, 4), "kernels": count,
                "top": [[name, n, round(t / 1e3, 4)] for name, (n, t) in top]}
    except Exception as error:  # noqa: BLE001: a profile is worth less than the timings
        return {"error": str(error)[:200]}


def error_of(found, expected):
    found, expected = found.float(), expected.float()
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), 0)
    return {"relative": float((found - expected).norm() / expected.norm()), "cosine": float(cosine),
            "largest": float((found - expected).abs().max() / expected.abs().max())}


def rows_of(result):
    """Result rows in an order that does not depend on the library."""
    if isinstance(result, torch.Tensor):
        return result
    indices = result.indices.long()
    key = ((indices[:, 0] * 4096 + indices[:, 1]) * 4096 + indices[:, 2]) * 4096 + indices[:, 3]
    return result.features[torch.argsort(key)]


def roofline():
    if not CUDA:
        return {}
    a = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE)
    b = torch.empty_like(a)
    x, y = (torch.randn(8192, 8192, device=DEVICE).half() for _ in range(2))
    copies = [once(lambda: b.copy_(a))[0] for _ in range(12)][2:]
    products = [once(lambda: torch.mm(x, y))[0] for _ in range(12)][2:]
    tiny = torch.zeros(1, device=DEVICE)

    def launches():
        for _ in range(1000):
            tiny.add_(1)

    launch = [once(launches)[1] for _ in range(3)][1:]
    return {"copy_TB_s": 2 * a.numel() / min(copies) * 1e-9, "copy_TB_s_median": 2 * a.numel() / statistics.median(copies) * 1e-9,
            "fp16_TFLOP_s": 2 * 8192**3 / min(products) * 1e-9,
            "fp16_TFLOP_s_median": 2 * 8192**3 / statistics.median(products) * 1e-9,
            "pytorch_us_per_launch": min(launch)}


def floor_of(net, tensor, roof):
    """What the convolutions of one pass cannot avoid in fp16: multiply-adds, bytes, and the ms they take at the measured
    peaks, layer by layer whichever takes longer."""
    gather_cublas.LAYERS.clear()
    net(tensor)
    layers = [(2 * macs, 2 * numbers) for macs, numbers in gather_cublas.LAYERS]
    gather_cublas.LAYERS.clear()
    row = {"gmac": round(sum(f for f, _ in layers) / 2e9, 3), "mbytes": round(sum(m for _, m in layers) * 1e-6, 2)}
    if roof:
        peak, copy = roof["fp16_TFLOP_s"] * 1e9, roof["copy_TB_s"] * 1e9
        row["ms"] = round(sum(max(f / peak, m / copy) for f, m in layers), 4)
    return row


def inference(model, peers, inputs, points, a, results, roof):
    state, references = a.states[model], []
    with torch.no_grad():
        reference = a.gather.net(model, state, False)
        for features, indices, shape in inputs:
            references.append(rows_of(reference(a.gather.tensor(features, indices, shape))))
        results["floor"][model] = floor_of(reference, a.gather.tensor(*inputs[0]), roof)
        if a.weights:
            write_weights(model, reference, references[0], a.weights)
        session, session_row = None, {"model": model, "peer": "rarefy_session", "task": "inference",
                                      "precision": "fp16" if CUDA else "fp32"}
        host = [p.cpu().numpy() for p in points or []]
        if a.session is not None and points:
            results["rows"].append(session_row)
            try:
                session = a.session.open(model, reference, a.voxel_size)
                errors = [error_of(torch.from_numpy(session.run(points=host[k])["logits"].copy()).to(DEVICE), references[k])
                          for k in range(len(inputs))]
                session_row["error"] = max(errors, key=lambda e: e["relative"])
                session_row["within_bound"] = session_row["error"]["relative"] < BOUND
                session_row["outcome"] = "ok"
            except Exception as error:  # noqa: BLE001
                session_row["outcome"] = f"{type(error).__name__}: {str(error)[:300]}"
                session = None
                traceback.print_exc()
        del reference
        runs, done = {}, {}
        for peer in peers:
            row = {"model": model, "peer": peer.name, "task": "inference", "precision": "fp16" if CUDA else "fp32"}
            results["rows"].append(row)
            begin = time.perf_counter()
            try:
                net = peer.net(model, state, CUDA)

                def run(k, net=net, peer=peer, given=None):
                    features, indices, shape = given or inputs[k]
                    return net(peer.tensor(features.half() if CUDA else features, indices, shape))

                errors = [error_of(rows_of(run(k)), references[k]) for k in range(len(inputs))]
                row["error"] = max(errors, key=lambda e: e["relative"])
                wait()
                row["first_s"] = round(time.perf_counter() - begin, 2)
                row["within_bound"] = row["error"]["relative"] < BOUND
                if not row["error"]["relative"] < 5 * BOUND:
                    row["outcome"] = "results differ: not timed"
                    continue
                if CUDA:
                    torch.cuda.reset_peak_memory_stats()
                    before = torch.cuda.memory_allocated()
                    run(0)
                    row["peak_mbytes"] = round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
                runs[peer.name], done[peer.name] = run, (peer, row)
            except Exception as error:  # noqa: BLE001: the next peer may run
                row["outcome"] = f"{type(error).__name__}: {str(error)[:300]}"
                traceback.print_exc()
        for kind in ("net", "voxelize", "whole") if points else ("net",):
            times = {name: [] for name in runs}
            shared = []
            own = []
            for turn in range(a.rounds + 2):
                k = turn % len(inputs)
                if kind == "whole" and session is not None:
                    own.append((once(lambda: session.run(points=host[k])), session.profile()))
                if kind == "voxelize":
                    shared.append(once(lambda: scans.voxelize(points[k], a.voxel_size)))
                    continue
                for name, run in runs.items():
                    if kind == "net":
                        times[name].append(once(lambda: run(k)))
                    else:
                        times[name].append(once(lambda: run(k, given=scans.voxelize(points[k], a.voxel_size))))
            for name, found in times.items():
                done[name][1][kind] = spread((shared or found)[2:])
            if own:
                session_row["whole"] = spread([times for times, _ in own[2:]])
                session_row["session_ms"] = {part: round(statistics.median(p[part] for _, p in own[2:]), 4)
                                             for part in ("total_ms", "voxelize_ms", "maps_ms", "network_ms")}
        for name, run in runs.items():
            peer, row = done[name]
            row["profile"] = busy(lambda: run(0))
            spans = []
            with peer.timing_maps(spans) as known:
                if CUDA and known:
                    run(0)
                    wait()
                    spans.clear()
                    run(0)
                    wait()
                    row["maps_ms"] = round(sum(b.elapsed_time(e) for b, e in spans), 4)
                    row["maps"] = len(spans)
            row["outcome"] = "ok"


def training(model, peers, sample, a, results):
    features, indices, shape, batches = sample
    labels = (indices.long() * torch.tensor([7, 3, 5, 11], device=indices.device)).sum(1) % 19
    state = a.states[model]

    def loss_of(net, peer, scale=1.0):
        out = net(peer.tensor(features, indices, shape, batches))
        if isinstance(out, torch.Tensor):
            return torch.nn.functional.cross_entropy(out.float(), labels)
        return out.features.float().square().mean()

    def gradients(net, peer, half):
        net.train()
        net.zero_grad()
        with torch.autocast("cuda", torch.float16, enabled=half and CUDA):
            loss = loss_of(net, peer)
        (loss * 256.0).backward()
        grads = {n: p.grad.float() / 256.0 for n, p in net.named_parameters() if p.grad is not None and p.dim() > 1}
        return float(loss.detach()), grads

    reference_net = a.gather.net(model, state, False)
    expected_loss, expected = gradients(reference_net, a.gather, False)
    expected = {n: g.clone() for n, g in expected.items()}
    del reference_net
    steps = {}
    for peer in peers:
        if peer.folded:
            continue
        row = {"model": model, "peer": peer.name, "task": "training", "precision": "autocast fp16" if CUDA else "fp32",
               "voxels": len(features), "batch": batches}
        results["rows"].append(row)
        begin = time.perf_counter()
        try:
            net = peer.net(model, state, False)
            loss, grads = gradients(net, peer, True)
            cosines = {n: error_of(g, expected[n])["cosine"] for n, g in grads.items()}
            row["loss"], row["loss_expected"] = loss, expected_loss
            row["gradient_cosine"] = dict(zip(("least", "layer"), min((c, n) for n, c in cosines.items())))
            row["gradient_cosine"]["median"] = statistics.median(cosines.values())
            del grads
            net.load_state_dict(state)
            optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4)
            scaler = torch.amp.GradScaler("cuda", init_scale=256.0, enabled=CUDA)

            def step(net=net, peer=peer, optimizer=optimizer, scaler=scaler):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cuda", torch.float16, enabled=CUDA):
                    loss = loss_of(net, peer)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                return loss

            def forward(net=net, peer=peer):
                with torch.autocast("cuda", torch.float16, enabled=CUDA):
                    loss_of(net, peer)

            step()
            wait()
            row["first_s"] = round(time.perf_counter() - begin, 2)
            if CUDA:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            step()
            if CUDA:
                row["peak_mbytes"] = round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
            if not abs(loss - expected_loss) < BOUND * abs(expected_loss) or not row["gradient_cosine"]["median"] > 0.95:
                row["outcome"] = "results differ: not timed"
                continue
            steps[peer.name] = (step, forward, row)
        except Exception as error:  # noqa: BLE001
            row["outcome"] = f"{type(error).__name__}: {str(error)[:300]}"
            traceback.print_exc()
    times = {name: [] for name in steps}
    forwards = {name: [] for name in steps}
    for _ in range(max(3, a.rounds * 2 // 3) + 2):
        for name, (step, forward, _) in steps.items():
            times[name].append(once(step))
            forwards[name].append(once(forward))
    for name, (step, forward, row) in steps.items():
        row["step"], row["forward"] = spread(times[name][2:]), spread(forwards[name][2:])
        row["profile"] = busy(step)
        row["outcome"] = "ok"


def write_weights(model, net, logits, folder):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    names = {"minkunet": networks.mmdet3d_names, "centerpoint": networks.openpcdet_names}.get(model.split("_")[0])
    if names:
        save_file(names(net), os.path.join(folder, model + ".safetensors"))
    save_file({"logits": logits.float().cpu().contiguous()}, os.path.join(folder, model + ".expected.safetensors"))


def voxel_generator(folder, rounds):
    """CenterPoint's own way from points to voxels: spconv's hash on the GPU, at most 10 points per voxel, their mean."""
    points = scans.sweeps(folder)
    if points is None or not CUDA:
        return None
    from spconv.pytorch.utils import PointToVoxel
    made = PointToVoxel([0.075, 0.075, 0.2], [-54, -54, -5, 54, 54, 3], 5, 160000, 10, device=torch.device("cuda:0"))
    points = torch.from_numpy(points).cuda()

    def run():
        voxels, indices, counts = made(points)
        return voxels.sum(1) / counts.clamp(min=1)[:, None].float(), indices

    found = run()
    return {"points": len(points), "voxels": len(found[1]), **spread([once(run) for _ in range(rounds + 2)][2:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--models", default="minkunet_w0.5,minkunet_w1.0,spvcnn_w1.0,centerpoint")
    parser.add_argument("--peers", default="gather_cublas,spconv,spconv_folded")
    parser.add_argument("--train", action="store_true", help="training too")
    parser.add_argument("--only-train", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scans", type=int, default=3, help="how many of the folder's")
    parser.add_argument("--train-voxels", type=int, default=80000, help="at most so many per scan in training")
    parser.add_argument("--voxel-size", type=float, default=0.05)
    parser.add_argument("--weights", default="")
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    start = time.perf_counter()
    results = {"device": torch.cuda.get_device_name() if CUDA else "cpu", "torch": torch.__version__, "cuda": torch.version.cuda,
               "roofline": roofline(), "peers": {}, "scans": [], "floor": {}, "rows": []}
    print(results["device"], results["roofline"], flush=True)

    def save():
        with open(a.out, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)

    peers, a.session = [], None
    for name in a.peers.split(","):
        try:
            if name == "rarefy_session":
                a.session = SessionPeer()
                results["peers"][name] = a.session.version
                continue
            peers.append(Peer(name))
            results["peers"][name] = peers[-1].version
        except Exception as error:  # noqa: BLE001
            results["peers"][name] = f"{type(error).__name__}: {str(error)[:300]}"
            print(name, results["peers"][name], flush=True)
    a.gather = Peer("gather_cublas")
    found = scans.find(a.data)[:a.scans]
    points = [torch.from_numpy(p).to(DEVICE) for _, p in found]
    voxels = [scans.voxelize(p, a.voxel_size) for p in points]
    for (name, p), (features, _, _) in zip(found, voxels):
        results["scans"].append({"scan": name, "points": len(p), "voxels": len(features)})
    encoder = scans.centerpoint(a.data)
    if encoder is not None:
        encoder = (encoder[0].to(DEVICE), encoder[1].to(DEVICE), encoder[2])
        try:
            results["point_to_voxel"] = voxel_generator(a.data, a.rounds)
        except Exception as error:  # noqa: BLE001
            results["point_to_voxel"] = f"{type(error).__name__}: {str(error)[:300]}"
    a.states = {}
    for model in a.models.split(","):
        dense = model == "centerpoint"
        if (dense and encoder is None) or (not dense and not voxels):
            print(model, "has no data here")
            continue
        inputs = [encoder] if dense else list(voxels)
        net = networks.randomize(networks.build(model, gather_cublas)).to(DEVICE)
        networks.calibrate(net, a.gather.tensor(*inputs[0]))
        a.states[model] = {n: v.detach().clone() for n, v in net.state_dict().items()}
        del net
        if not a.only_train:
            inference(model, peers, inputs, None if dense else points, a, results, results["roofline"])
            save()
        if a.train or a.only_train:
            chosen = [encoder] * 2 if dense else [voxels[i % len(voxels)] for i in range(2)]
            sample = (*scans.batch(chosen, 10**9 if dense else a.train_voxels), 2)
            if dense:
                sample = (sample[0], sample[1], encoder[2], 2)
            training(model, peers, sample, a, results)
            save()
        for row in results["rows"]:
            if row["model"] == model:
                show(row)
        print(f"[{time.perf_counter() - start:.0f} s]", flush=True)
    save()


def show(row):
    text = f"{row['model']:14} {row['task']:9} {row['peer']:14} "
    if row.get("outcome") != "ok":
        print(text + str(row.get("outcome")), row.get("error", ""), flush=True)
        return
    for kind in ("net", "whole", "step", "forward"):
        if kind in row:
            text += f" {kind} {row[kind]['events_ms']:7.2f} ({row[kind]['wall_ms']:7.2f} wall)"
    profile = row.get("profile") or {}
    text += f"  busy {profile.get('busy_ms', 0):.2f} in {profile.get('kernels', 0)}"
    text += f"  maps {row['maps_ms']:.2f}" if "maps_ms" in row else f"  {row['session_ms']}" if "session_ms" in row else ""
    text += f"  error {row['error']['relative']:.1e}" if "error" in row else f"  gradients {row['gradient_cosine']['least']:.4f}"
    print(text, flush=True)


if __name__ == "__main__":
    main()
