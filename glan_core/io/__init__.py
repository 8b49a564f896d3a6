"""Reading and writing files: datasets, atomic outputs, uploads and the Hugging Face Hub."""
