.PHONY: demo-model demo-gates

demo-model: setup ## Train the demo's two checkpoints from nothing (about an hour on 2 free cores)
	$(PY) -m demo.model.build

demo-gates: setup ## Check what the demo's checkpoints must be able to do before the loop is worth running
	$(PY) -m demo.gates start
	$(PY) -m demo.gates labeler
	$(PY) -m demo.gates dpo
