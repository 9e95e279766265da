"""One file or folder per outside thing; foreign exceptions end here."""
