.PHONY: demo-servers demo-model demo-gates
PROMPTS := build/demo-prompts

demo: setup $(PROMPTS)/evaluation.parquet ## Align the demo model, with a stronger labeler and with itself, and write the report
	$(BIN)/rlaifv run demo/runs/stronger.yaml
	$(BIN)/rlaifv run demo/runs/self.yaml
	$(BIN)/rlaifv report demo-stronger demo-self --out runs/demo-report

SERVERS := --set policy.backend=vllm --set labeler.backend=triton --runs runs/servers

demo-servers: setup vllm triton $(PROMPTS)/evaluation.parquet ## The same demo with the policy on vLLM and the labeler on tritonserver
	$(BIN)/rlaifv run demo/runs/stronger.yaml $(SERVERS)
	$(BIN)/rlaifv run demo/runs/self.yaml $(SERVERS)
	$(BIN)/rlaifv report demo-stronger demo-self --runs runs/servers --out runs/servers/demo-report

$(PROMPTS)/evaluation.parquet: $(VENV)/.ready
	$(PY) -m demo.world.datasets $(PROMPTS)

demo-model: setup ## Train the demo's two checkpoints from nothing (about an hour on 2 free cores)
	$(PY) -m demo.model.build

demo-gates: setup ## Check what the demo's checkpoints must be able to do before the loop is worth running
	$(PY) -m demo.gates start
	$(PY) -m demo.gates labeler
	$(PY) -m demo.gates dpo
