"""Policy, labeler and trainer on transformers: any model that loads with AutoModelForImageTextToText and AutoProcessor."""
