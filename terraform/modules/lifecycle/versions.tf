terraform {
  # 1.9 is the first version in which the validation of one variable may look at another.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.40 and later know everything that is used here; nothing used here is deprecated in 5.x.
      version = ">= 5.40, < 7.0"
    }
  }
}
