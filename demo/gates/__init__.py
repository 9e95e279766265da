"""What the demo's models must be able to do before the loop is worth running, each gate one command and one figure."""
