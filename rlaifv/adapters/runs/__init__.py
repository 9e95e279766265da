"""What a run is made from and what it leaves behind: run file, prompt sets, ledger, and the folder of artifacts."""
